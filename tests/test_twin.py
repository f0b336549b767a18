"""In which number type a network is trained on which machine."""

import numpy as np
import pytest

from lab_utils.networks import backbones
from lab_utils.networks.building import building
from lab_utils.training import model_graph, twin


def test_building_puts_the_policy_back():
    import keras

    before = keras.config.dtype_policy().name
    with building("mixed_bfloat16"):
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before


@pytest.mark.parametrize(
    "flags, precision", [("avx512f amx_bf16", "mixed_bfloat16"), ("avx512_bf16", "mixed_bfloat16"), ("avx2", None)]
)
def test_processors_with_bfloat16_use_it(monkeypatch, tmp_path, flags, precision):
    import tensorflow as tf

    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags} sse\n")
    monkeypatch.setattr(twin, "Path", lambda _: tmp_path / "cpuinfo")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert twin.half_precision() == precision


@pytest.mark.parametrize(
    "capability, precision", [((8, 6), "mixed_bfloat16"), ((7, 5), "mixed_float16"), ((6, 1), None)]
)
def test_graphics_cards_use_the_half_precision_that_they_have(monkeypatch, capability, precision):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["card"])
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda card: {"compute_capability": capability} if card else {}
    )
    assert twin.half_precision() == precision


@pytest.mark.parametrize(
    "name, card, precision",
    [("lite0", False, None), ("vgg16", False, "mixed_bfloat16"), ("lite0", True, "mixed_bfloat16")],
)
def test_depthwise_networks_stay_in_float32_on_processors(monkeypatch, name, card, precision):
    import tensorflow as tf

    graph = model_graph.read(backbones.build(name, weights="random", top=False, size=32))
    monkeypatch.setattr(twin, "half_precision", lambda: "mixed_bfloat16")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["card"] * card)
    assert twin.best_precision(graph) == precision


@pytest.mark.parametrize(("cards", "asked", "enabled"), [(0, "", 1), (1, "", 0), (1, "1", 1), (1, "0", 0)])
def test_operations_repeat_on_processors_and_on_a_card_where_it_is_asked_for(monkeypatch, cards, asked, enabled):
    import tensorflow as tf

    called = []
    monkeypatch.setenv(twin.DETERMINISTIC, asked)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["card"] * cards)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda card, grow: None)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: called.append(1))
    twin.prepare_device()
    assert len(called) == enabled


def test_weights_of_another_network_are_refused():
    import keras

    from lab_utils.core.errors import LabError

    variables = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).variables
    with pytest.raises(LabError, match="do not fit this network"):
        model_graph.assign(variables, [np.zeros((2, 2)), np.zeros(3)])
