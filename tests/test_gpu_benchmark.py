"""The benchmark of a graphics card: it runs at toy size without one, keeps to its time, says where there is none."""

import importlib.util
import sys

import pytest

from lab_utils.core import card, records
from lab_utils.core.card import Answer

spec = importlib.util.spec_from_file_location("gpu_benchmark", records.PROJECT / "benchmarks" / "gpu.py")
benchmark = importlib.util.module_from_spec(spec)
sys.modules["gpu_benchmark"] = benchmark  # its dataclass looks itself up
spec.loader.exec_module(benchmark)


@pytest.fixture(autouse=True)
def without_a_card(monkeypatch):
    monkeypatch.setattr(card, "look", lambda: Answer())
    monkeypatch.setattr(benchmark.callbacks, "SHOWN_EVERY", benchmark.callbacks.SHOWN_EVERY)


def test_without_a_card_it_says_so_and_measures_nothing(capsys, monkeypatch):
    assert benchmark.main([]) == 1
    assert capsys.readouterr().out.startswith("There is no graphics card here")
    monkeypatch.setattr(card, "look", lambda: Answer(reason="TensorFlow 2.21.0 can't open libcudnn.so.9"))
    assert benchmark.main([]) == 1
    assert "libcudnn.so.9" in capsys.readouterr().out


def test_at_toy_size_it_measures_training_extraction_and_the_limit_and_writes_them(tmp_path, capsys):
    kinds = ["float32, no XLA", "kept front", "extraction", "product, bfloat16"]
    assert benchmark.main(["--toy", "--json", str(tmp_path / "card.json"), "--only", *kinds]) == 0
    written = records.read_json(tmp_path / "card.json")
    assert "Did not fit the time: nothing." in capsys.readouterr().out
    assert written["toy"] and not written["left out"] and written["card"]["cards"] == []
    measured = written["measured"]
    assert len(measured) == 4 and not [name for name, numbers in measured.items() if "failed" in numbers]
    rates = [numbers["images/s"] for name, numbers in measured.items() if "product" not in name]
    assert len(rates) == 3 and min(rates) > 0 and measured["matrix product, bfloat16"]["TFLOP/s"] > 0
    assert measured["lab.fit, kept front"]["spread of the last loss"] == 0, "processors give the same bits"


def test_what_does_not_fit_the_time_is_listed(capsys):
    told, left_out = benchmark.measure(benchmark.TOY, seconds=1)
    assert not told and left_out == [name for name, *_ in benchmark.measurements(benchmark.TOY)]


def test_what_fails_hides_nothing_else(monkeypatch, capsys):
    def fails():
        raise MemoryError("the card is full")

    both = [("first", 1, fails), ("second", 1, lambda: {"images/s": 7.0})]
    monkeypatch.setattr(benchmark, "measurements", lambda sizes: both)
    told, _ = benchmark.measure(benchmark.TOY, seconds=60)
    assert told["first"]["failed"] == "MemoryError: the card is full" and told["second"]["images/s"] == 7


def test_at_full_size_the_most_telling_come_first():
    names = [name for name, *_ in benchmark.measurements(benchmark.Sizes())]
    assert names[0].startswith("matrix product") and names[1].startswith("lab.fit, kept")
    for words in ("float32, XLA auto", "bfloat16, XLA auto", "no XLA", "augmented", "vgg16", "resnet50", "b0", "b3"):
        assert [name for name in names if words in name], words
