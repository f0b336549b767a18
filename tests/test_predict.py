"""From a folder of images to a classifier in one file and back; bad files get a sentence."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import RidgeClassifier

from lab_utils import predict
from lab_utils.analysis import small_data
from lab_utils.core.errors import LabError
from lab_utils.core.records import file_hash
from lab_utils.data import decoding
from lab_utils.stats import metrics

COLOURS = {"blue": (30, 40, 200), "green": (20, 190, 40), "red & co": (210, 30, 30)}
RECIPE = predict.Recipe(("lite0",), (32,), weights="random")


def picture(path, colour, seed):
    """A noisy picture of one colour, 40 × 30 pixels."""
    noise = np.random.default_rng(seed).integers(-30, 31, (30, 40, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes of four pictures."""
    root = tmp_path_factory.mktemp("photos")
    for name, colour in COLOURS.items():
        for k in range(4):
            picture(root / name / f"{k}.png", colour, 10 * len(name) + k)
    return root


@pytest.fixture(scope="module")
def model(photos):
    """A classifier on an untrained network at 32 pixels."""
    patch = pytest.MonkeyPatch()
    patch.setattr(decoding.records, "PROJECT", photos.parent)  # what was examined is kept there
    yield predict.fit(photos, RECIPE, progress=lambda line: None)
    patch.undo()


def test_colours_are_told_apart_in_new_files(model, tmp_path):
    new = [picture(tmp_path / f"{k}.jpg", colour, 100 + k) for k, colour in enumerate(COLOURS.values())]
    assert [best[0][0] for best in model.predict(new)] == list(COLOURS)
    assert model.accuracy.n == 12


def test_a_saved_model_answers_the_same_after_loading(model, photos, tmp_path):
    path = model.save(tmp_path / "model.npz")
    files = sorted(photos.glob("*/0.png"))
    again = predict.load(path)
    assert np.array_equal(again.probabilities(files), model.probabilities(files))
    assert (again.classes, again.recipe, again.accuracy.n) == (model.classes, model.recipe, 12)
    assert not list(tmp_path.glob(".*"))
    model.save(tmp_path / "second.npz")
    assert file_hash(tmp_path / "second.npz") == file_hash(path)


def test_the_head_is_scikit_learns_ridge_and_probabilities_are_its_scores_over_the_temperature():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 10)
    X = (rng.normal(size=(3, 20))[labels] + rng.normal(size=(30, 20))).astype(np.float32)
    fitted = predict.fit_features({"one": X}, labels, ["a", "b", "c"], RECIPE)
    standardise = small_data.Standardised.fit([X])
    expected = RidgeClassifier(alpha=0.1).fit(standardise([X]), labels).decision_function(standardise([X]))
    assert standardise([X]) @ fitted.coefficients + fitted.intercept == pytest.approx(expected, abs=1e-4)


def test_the_temperature_calibrates_out_of_fold_scores():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 40)
    X = (0.5 * rng.normal(size=(4, 30))[labels] + rng.normal(size=(160, 30))).astype(np.float32)
    fitted = predict.fit_features({"one": X}, labels, list("abcd"), RECIPE)
    scores = small_data.cross_scores({"one": X}, labels, small_data.Candidate(("one",)), 5)
    calibrated = scores / fitted.temperature
    assert metrics.cross_entropy(calibrated, labels).mean() < metrics.cross_entropy(scores, labels).mean()
    assert metrics.softmax(calibrated).max(1).mean() == pytest.approx(fitted.accuracy.value, abs=0.1)


def test_eight_right_images_do_not_make_certain():
    """Rule of succession: after n of n right, the next is right with (n + 1) / (n + 2)."""
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 4)
    X = rng.normal(size=(8, 6)).astype(np.float32) * 0.1 + 5 * labels[:, None]
    fitted = predict.fit_features({"one": X}, labels, ["a", "b"], RECIPE)
    assert fitted.accuracy.successes == 8
    found = fitted.of_features({"one": X}).max(1)
    assert 0.8 < found.mean() < 0.97
    assert fitted.temperature > 0.06  # not at the bound of the search


def test_the_temperature_meets_smoothed_targets_exactly():
    """Equal scores of gap 1 for 10 right images: the likeliest temperature gives (n + 1) / (n + 2), by hand."""
    labels = np.repeat([0, 1], 5)
    found = predict.calibrating_temperature(np.eye(2)[labels], labels)
    assert 1 / (1 + np.exp(-1 / found)) == pytest.approx(11 / 12, abs=1e-4)


def test_two_classes_get_a_column_each():
    labels = np.repeat([0, 1], 8)
    X = np.random.default_rng(2).normal(size=(16, 5)).astype(np.float32) + 3 * labels[:, None]
    fitted = predict.fit_features({"one": X}, labels, ["low", "high"], RECIPE)
    found = fitted.standardise([X]) @ fitted.coefficients + fitted.intercept
    assert found.shape == (16, 2)
    assert (found.argmax(1) == labels).all()


def test_the_shell_fits_and_labels(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(decoding.records, "PROJECT", tmp_path)
    monkeypatch.setattr(predict, "Recipe", lambda: RECIPE)
    file = tmp_path / "model.npz"
    assert predict.main(["fit", str(photos), "--model", str(file)]) == 0
    monkeypatch.undo()
    capsys.readouterr()
    assert predict.main(["label", "--model", str(file), "--top", "2", str(photos / "blue" / "0.png")]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert rows[0]["class"] == "blue"
    assert 0 <= float(rows[1]["probability"]) <= float(rows[0]["probability"]) <= 1


def test_the_shell_names_bad_files_and_labels_the_others(model, photos, tmp_path, capsys):
    file = model.save(tmp_path / "model.npz")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    bad = [str(tmp_path / name) for name in ("empty.jpg", "text.png", "missing.jpg")]
    assert predict.main(["label", "--model", str(file), *bad, str(photos / "green" / "1.png")]) == 1
    seen = capsys.readouterr()
    assert len(seen.err.strip().splitlines()) == 3
    assert all(path in line for path, line in zip(bad, seen.err.splitlines(), strict=True))
    assert len(seen.out.splitlines()) == 2


def damaged_header(header, damage):
    """A header with one fault."""
    faults = {
        "version": {"version": 2},
        "sizes missing": {"recipe": header["recipe"] | {"sizes": []}},
        "sizes short": {"recipe": header["recipe"] | {"networks": ["lite0", "lite1"]}},
        "networks as text": {"recipe": header["recipe"] | {"networks": "lite0"}},
        "unknown setting": {"recipe": header["recipe"] | {"colour": 1}},
        "temperature 0": {"temperature": 0},
        "temperature NaN": {"temperature": float("nan")},
        "temperature as text": {"temperature": "1"},
        "one class": {"classes": header["classes"][:1]},
        "classes as numbers": {"classes": [1, 2, 3]},
        "hits above n": {"out_of_fold": [13, 12]},
        "no weights": {"weights": []},
    }
    return header | faults.get(damage, {})


HEADERS = (
    *("version", "sizes missing", "sizes short", "networks as text", "unknown setting", "temperature 0"),
    *("temperature NaN", "temperature as text", "one class", "classes as numbers", "hits above n", "no weights"),
)


@pytest.mark.parametrize("damage", ["truncated", "text", "foreign", "shape", "pickle", "nan", "deflate", *HEADERS])
def test_a_bad_model_file_gets_one_sentence(model, tmp_path, damage):
    path = model.save(tmp_path / "model.npz")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "text":
        path.write_text("no model")
    elif damage == "foreign":
        np.savez(path, weights=np.zeros(3))
    elif damage == "deflate":
        np.savez_compressed(path, **arrays)
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 400] = b"\xff" * 400
        path.write_bytes(content)
    else:
        header = damaged_header(json.loads(bytes(arrays["header"])), damage)
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        arrays["intercept"] = arrays["intercept"][:-1] if damage == "shape" else arrays["intercept"]
        arrays["mean"] = np.array([{"a": 1}], dtype=object) if damage == "pickle" else arrays["mean"]
        arrays["coefficients"] = arrays["coefficients"] * (np.nan if damage == "nan" else 1)
        np.savez(path, **arrays)
    with pytest.raises(LabError, match=r"model\.npz is truncated or no model file of version 1: fit it again\.$"):
        predict.load(path)


def test_a_whole_header_passes_the_same_checks(model, tmp_path):
    path = model.save(tmp_path / "model.npz")
    with np.load(path) as file:
        header = json.loads(bytes(file["header"]))
    assert damaged_header(header, "none") == header
    assert all(damaged_header(header, damage) != header for damage in HEADERS)
    assert predict.load(path).temperature == model.temperature


def test_a_place_that_cant_be_written_is_told_before_any_work(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(predict, "fit", lambda *_, **__: pytest.fail("the work began"))
    (tmp_path / "file").write_text("")
    for target in (tmp_path, tmp_path / "file" / "model.npz"):
        assert predict.main(["fit", str(photos), "--model", str(target)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "is a folder: give the file to write" in lines[0]
    assert "no folder that can be written to" in lines[1]


def test_no_table_is_begun_that_cant_be_filled(model, photos, tmp_path, capsys):
    file = predict.Classifier(**{**vars(model), "identities": ["another"]}).save(tmp_path / "model.npz")
    assert predict.main(["label", "--model", str(file), str(photos / "blue" / "0.png")]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "weights of lite0" in seen.err


def test_a_missing_model_or_folder_gets_one_sentence(tmp_path, capsys):
    assert predict.main(["label", "--model", str(tmp_path / "none.npz"), "a.jpg"]) == 2
    assert predict.main(["fit", str(tmp_path / "none"), "--model", "x.npz"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "There is no model file" in lines[0]
    assert "There is no folder" in lines[1]


def test_another_networks_weights_are_noticed(model, photos):
    other = predict.Classifier(**{**vars(model), "identities": ["another"]})
    with pytest.raises(LabError, match="weights of lite0 on this machine are not those of the model"):
        other.probabilities([photos / "blue" / "0.png"])


def test_a_class_with_one_image_is_named():
    with pytest.raises(LabError, match="too few for a class: add images to b"):
        predict.fit_features({"one": np.eye(3, dtype=np.float32)}, np.array([0, 0, 1]), ["a", "b"], RECIPE)
