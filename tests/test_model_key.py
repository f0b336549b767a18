import numpy as np
import pytest
from toy_networks import CLASSES, compiled, perceptron, tuned, vectors

from lab_utils.core.errors import LabError
from lab_utils.core.records import content_hash
from lab_utils.training import model_graph, model_key
from lab_utils.training.feeding import Split

SETTINGS = {"epochs": 2, "batch": 8, "seed": 0}


def key(model, train=None, val=None, precision=None, **settings):
    graph = model_graph.read(model)
    splits = (train or vectors(20, 0), val or vectors(10, 1))
    return content_hash(model_key.run_key(graph, splits, precision, SETTINGS | settings)[0])


def structure(model):
    return model_key.run_key(model_graph.read(model), (vectors(20, 0), vectors(10, 1)), None, SETTINGS)[1]


def same_weights(model, like):
    """The model with the weights and random states of another."""
    for mine, other in zip(model.variables, like.variables, strict=True):
        mine.assign(other)
    return model


def cell(source: str, **names):
    """Run a notebook's cell and give what it defines."""
    names = {"__name__": "__main__"} | names
    exec(compile(source, "<cell>", "exec"), names)
    return names


# ---- what makes it another network ----------------------------------------------------------------------------------
def test_another_rate_loss_optimizer_layer_setting_weight_or_random_state_makes_another_key():
    import keras

    def schedule(steps):
        return keras.optimizers.schedules.CosineDecay(0.01, steps)

    plain = perceptron()
    frozen = perceptron()
    frozen.layers[0].trainable = False
    other_optimizer, other_weights, other_state = perceptron(), perceptron(), perceptron()
    other_optimizer.compile(keras.optimizers.SGD(0.01), plain.loss)
    other_weights.layers[0].kernel.assign_add(np.full((6, 8), 1e-6))
    other_state.layers[2].seed_generator.state.assign([7, 7])
    half = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    in_half = same_weights(perceptron(), plain)
    keras.config.set_dtype_policy(half)
    networks = [
        plain,
        perceptron(seed=1),
        perceptron(width=9),
        same_weights(perceptron(dropout=0.4), plain),
        same_weights(perceptron(l2=0.1), plain),
        same_weights(perceptron(l2=0.2), plain),
        perceptron(rate=0.02),
        perceptron(rate=schedule(10)),
        perceptron(rate=schedule(20)),
        perceptron(loss=keras.losses.CategoricalCrossentropy(from_logits=True)),
        perceptron(loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)),
        other_optimizer,
        frozen,
        other_weights,
        other_state,
        in_half,
    ]
    assert len({key(network) for network in networks}) == len(networks)


def test_layers_that_are_joined_otherwise_make_another_key():
    import keras

    def network(skip):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6,))
        first = keras.layers.Dense(6)(inputs)
        second = keras.layers.Dense(6)(first)
        summed = keras.layers.Add()([second, first if skip else second])
        return compiled(keras.Model(inputs, keras.layers.Dense(CLASSES)(summed)))

    assert key(network(True)) != key(network(False)) and key(network(True)) == key(network(True))


def test_other_data_rows_settings_or_versions_make_another_key(monkeypatch):
    train, model = vectors(20, 0), perceptron()
    brighter = Split(train.inputs + np.float32(0.001), train.labels)
    relabelled = Split(train.inputs, np.roll(train.labels, 1))
    fewer = Split(train.inputs, train.labels[:19], np.arange(19))
    keys = [key(model), *(key(model, train=other) for other in (brighter, relabelled, fewer))]
    keys += [key(model, val=vectors(10, 2)), key(model, precision="mixed_bfloat16")]
    keys += [key(model, **{name: value}) for name, value in (("epochs", 3), ("batch", 4), ("seed", 1))]
    keys += [key(model, class_weight=[1.0, 2.0, 1.0])]
    monkeypatch.setattr(model_key, "versions", lambda *names: {"keras": "4.0"})
    assert len({*keys, key(model)}) == len(keys) + 1


# ---- code that isn't Keras's -----------------------------------------------------------------------------------------
LOSS = """
import keras
WEIGHT = 1.0
def helper(x):
    return x
def loss(labels, logits):  # a comment
    return WEIGHT * helper(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
"""
LAYER = """
import keras
class Scale(keras.layers.Layer):
    factor = 2.0
    def call(self, x):
        return x * self.factor
"""


@pytest.mark.parametrize(
    ("old", "new"), [("WEIGHT = 1.0", "WEIGHT = 2.0"), ("return x", "return x + 1"), ("WEIGHT * ", "3 - ")]
)
def test_a_changed_line_of_a_loss_or_of_what_it_refers_to_makes_another_key(old, new):
    before, after = (perceptron(loss=cell(source)["loss"]) for source in (LOSS, LOSS.replace(old, new)))
    assert key(before) != key(after)


def test_a_comment_and_running_the_cells_again_make_no_other_key():
    sources = (LOSS, LOSS, LOSS.replace("# a comment", "# another"), "\n\n" + LOSS)
    assert len({key(perceptron(loss=cell(source)["loss"])) for source in sources}) == 1


def test_code_of_a_layer_an_activation_and_a_lambda_is_in_the_key():
    import keras

    def network(layer):
        keras.utils.set_random_seed(0)
        return compiled(keras.Sequential([keras.Input((6,)), layer, keras.layers.Dense(CLASSES)]))

    layers = [cell(LAYER)["Scale"](), cell(LAYER.replace("factor = 2.0", "factor = 3.0"))["Scale"]()]
    layers += [cell(LAYER.replace("x * self", "x + self"))["Scale"]()]
    layers += [keras.layers.Lambda(lambda x: x), keras.layers.Lambda(lambda x: x + 1)]
    layers += [keras.layers.Activation(cell(f"def f(x): return x * {i}")["f"]) for i in (1, 2)]
    keys = [key(network(layer)) for layer in layers]
    assert len(set(keys)) == len(keys) and key(network(cell(LAYER)["Scale"]())) == keys[0]


def test_training_a_network_leaves_the_key_of_the_next_one_as_it_was():
    import keras

    scale = cell(LAYER)["Scale"]

    def network():
        keras.utils.set_random_seed(0)
        return compiled(keras.Sequential([keras.Input((6,)), scale(), keras.layers.Dense(CLASSES)]))

    before = key(network())
    network().fit(np.zeros((8, 6), np.float32), np.zeros(8, int), verbose=0)
    assert scale.__annotations__ == {}  # Python makes it when it is asked for, as TensorFlow does in tracing
    assert key(network()) == before


def test_two_lambdas_in_one_line_are_told_apart():
    first, second = (lambda y, p: p[:, 0] * 1.0), (lambda y, p: p[:, 0] * 2.0)
    assert key(perceptron(loss=first)) != key(perceptron(loss=second))


def test_code_that_refers_to_itself_has_an_end():
    names = cell("def f(n): return g(n)\ndef g(n): return f(n - 1) if n else 0")
    assert model_key.code_of(names["f"]) == model_key.code_of(
        cell("def f(n): return g(n)\ndef g(n): return f(n - 1) if n else 0")["f"]
    )


def test_a_layer_that_cannot_tell_its_settings_is_a_sentence():
    import keras

    names = cell(
        "import keras\nclass Held(keras.layers.Layer):\n    def __init__(self, what):\n        super().__init__()\n"
        "        self.what = what\n    def call(self, x):\n        return x"
    )
    model = compiled(keras.Sequential([keras.Input((6,)), names["Held"](object()), keras.layers.Dense(CLASSES)]))
    with pytest.raises(LabError, match=r"\(Held\).*get_config"):
        key(model)


# ---- what doesn't ----------------------------------------------------------------------------------------------------
def test_names_metrics_and_ways_to_compile_change_nothing():
    import keras

    plain, renamed, measured = perceptron(), perceptron(), perceptron(metrics=["accuracy"])
    several, unnamed = perceptron(steps_per_execution=4, jit_compile=False), perceptron()
    for i, layer in enumerate(renamed.layers):
        layer.name = f"other_{i}"
    keras.backend.clear_session()  # automatic names begin anew
    networks = (plain, renamed, measured, several, unnamed, perceptron())
    assert len({key(network) for network in networks}) == 1


def test_the_same_building_cell_gives_the_same_key_again():
    for build in (perceptron, tuned):
        first, second = build(), build()
        assert [layer.name for layer in first.layers] != [layer.name for layer in second.layers]
        assert key(first) == key(second)


# ---- what is compiled together ---------------------------------------------------------------------------------------
def test_networks_that_differ_in_rate_seed_or_weights_share_what_is_compiled_and_others_do_not():
    import keras

    together = [perceptron(), perceptron(seed=1), perceptron(rate=0.5)]
    apart = [
        perceptron(width=9),
        perceptron(dropout=0.4),
        perceptron(rate=keras.optimizers.schedules.CosineDecay(1, 5)),
    ]
    assert len({structure(model) for model in together}) == 1
    assert len({structure(model) for model in [together[0], *apart]}) == 4


def test_statistics_that_a_normalisation_layer_computes_with_keep_networks_apart():
    import keras

    def network(shift):
        norm = keras.layers.Normalization()
        norm.adapt(np.arange(12, dtype=np.float32).reshape(2, 6) + shift)
        return compiled(keras.Sequential([keras.Input((6,)), norm, keras.layers.Dense(CLASSES)]))

    structures = [structure(network(shift)) for shift in (0, 0, 5)]
    assert structures[0] == structures[1] != structures[2]
