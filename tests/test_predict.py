"""From a folder of images to a classifier in one file and back; whatever is wrong gets a sentence and a count."""

import csv
import io
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import RidgeClassifier

from lab_utils import predict
from lab_utils.analysis import small_data
from lab_utils.core.errors import LabError
from lab_utils.core.records import PROJECT, file_hash
from lab_utils.data import decoding
from lab_utils.networks import backbones, registry
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Accuracy

COLOURS = {"blue": (30, 40, 200), "green": (20, 190, 40), "red & co": (210, 30, 30)}
TINY = predict.Network(("lite0",), 32, "random")


def picture(path, colour, seed):
    """A noisy picture of one colour, 40 × 30 pixels."""
    noise = np.random.default_rng(seed).integers(-30, 31, (30, 40, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def examined(tmp_path_factory):
    """What was examined is kept in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding.records, "PROJECT", tmp_path_factory.mktemp("project"))
        yield


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
    return predict.fit(photos, TINY, progress=lambda line: None)


@pytest.fixture
def saved(model, tmp_path):
    return model.save(tmp_path / "model.npz")


def fit_features(X, labels, groups=None):
    """Fit on features with the classes a, b, ..., each image a group of its own."""
    groups = np.arange(len(labels)) if groups is None else groups
    return predict.fit_features(X, labels, groups, list("abcdef")[: labels.max() + 1], TINY)


def small_model(seed=0):
    """A model of three classes whose arrays fit the network's 1,280 features."""
    rng = np.random.default_rng(seed)
    arrays = rng.normal(size=(1280, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    return predict.PhotoClassifier(TINY, TINY.identities(), ["a", "b", "c"], *arrays, 0.5, Accuracy(7, 12, "nested"))


# ---- what it learns and says -----------------------------------------------------------------------------------------
def test_colours_are_told_apart_in_new_files(model, tmp_path):
    new = [picture(tmp_path / f"{k}.jpg", colour, 100 + k) for k, colour in enumerate(COLOURS.values())]
    table = model.label(new, top=2)
    assert table[table["rank"] == 1]["class"].tolist() == list(COLOURS)
    assert table["file"].tolist() == [str(path) for path in new for _ in range(2)]
    assert model.accuracy.n == 12
    assert model.label([]).empty


def test_a_saved_model_answers_the_same_after_loading(model, photos, saved, tmp_path):
    files = sorted(photos.glob("*/0.png"))
    again = predict.load(saved)
    assert again.label(files).equals(model.label(files))
    assert (again.classes, again.network, again.accuracy) == (model.classes, model.network, model.accuracy)
    assert not list(tmp_path.glob(".*"))
    model.save(tmp_path / "second.npz")
    assert file_hash(tmp_path / "second.npz") == file_hash(saved)


def test_the_head_is_scikit_learns_ridge_and_probabilities_are_its_scores_over_the_temperature():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 10)
    X = (rng.normal(size=(3, 20))[labels] + rng.normal(size=(30, 20))).astype(np.float32)
    fitted = fit_features(X, labels)
    alpha = small_data.fit_ridge(X, labels, np.arange(30)).alpha
    scores = RidgeClassifier(alpha=alpha).fit(X, labels).decision_function(X) / fitted.temperature
    powers = np.exp(scores)
    assert fitted.probabilities(X) == pytest.approx(powers / powers.sum(1, keepdims=True), abs=1e-4)


def test_the_temperature_calibrates_probabilities_of_new_images():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 40)
    centres = 0.5 * rng.normal(size=(4, 30))
    X, new = ((centres[labels] + rng.normal(size=(160, 30))).astype(np.float32) for _ in range(2))
    fitted = fit_features(X, labels)
    calibrated = fitted.probabilities(new)
    fitted.temperature = 1.0
    plain = fitted.probabilities(new)
    errors = [metrics.calibration_error(chances, labels)[0].value for chances in (calibrated, plain)]
    assert errors[0] < 0.5 * errors[1]
    assert calibrated.max(1).mean() == pytest.approx((calibrated.argmax(1) == labels).mean(), abs=0.1)


def test_eight_right_images_do_not_make_certain():
    """Rule of succession: after n of n right, the next is right with (n + 1) / (n + 2)."""
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 4)
    X = rng.normal(size=(8, 6)).astype(np.float32) * 0.1 + 5 * labels[:, None]
    fitted = fit_features(X.astype(np.float32), labels)
    assert fitted.accuracy.successes == 8
    assert 0.8 < fitted.probabilities(X).max(1).mean() < 0.97
    assert fitted.temperature > 0.06  # not at the bound of the search


def test_the_temperature_meets_smoothed_targets_exactly():
    """Equal scores of gap 1 for 10 right images: the likeliest temperature gives (n + 1) / (n + 2), by hand."""
    labels = np.repeat([0, 1], 5)
    temperature = predict.calibrating_temperature(np.eye(2)[labels], labels)
    assert 1 / (1 + np.exp(-1 / temperature)) == pytest.approx(11 / 12, abs=1e-4)


def test_two_classes_get_a_column_each():
    labels = np.repeat([0, 1], 8)
    X = np.random.default_rng(2).normal(size=(16, 5)).astype(np.float32) + 3 * labels[:, None]
    fitted = fit_features(X.astype(np.float32), labels)
    assert fitted.coefficients.shape == (5, 2)
    assert (fitted.probabilities(X).argmax(1) == labels).all()


def test_two_photos_of_two_classes_are_enough():
    fitted = fit_features(np.array([[0.0], [1], [10], [11]], np.float32), np.array([0, 0, 1, 1]))
    assert fitted.accuracy == Accuracy(4, 4, "nested")


# ---- look-alikes -----------------------------------------------------------------------------------------------------
def saved_twice(root, classes=2, each=12):
    """Pictures of noise in random classes, each saved as PNG and again as JPEG."""
    for number in range(classes * each):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
        home = root / f"class {number % classes}"
        home.mkdir(parents=True, exist_ok=True)
        image.save(home / f"{number}.png")
        image.save(home / f"{number} copy.jpg", quality=90)
    return root


def test_photos_saved_twice_with_random_labels_stay_near_chance(tmp_path, monkeypatch):
    lines = []
    honest = predict.fit(saved_twice(tmp_path / "photos"), TINY, lines.append).accuracy
    assert honest.n == 24  # each photo counts once
    assert honest.interval[0] < 0.5
    assert "Images that look nearly like another one: 24." in " ".join(lines)
    monkeypatch.setattr(predict.folder, "near_identical", lambda hashes: np.arange(len(hashes)))
    fooled = predict.fit(tmp_path / "photos", TINY, lines.append).accuracy
    assert fooled.interval[0] > 0.6  # so the test can tell


def test_a_class_of_one_photo_saved_twice_is_named(tmp_path):
    saved_twice(tmp_path, classes=2, each=2)
    (tmp_path / "class 1" / "3.png").unlink()
    (tmp_path / "class 1" / "3 copy.jpg").unlink()
    with pytest.raises(LabError, match=r"near-identical files count once\): add images to class 1"):
        predict.fit(tmp_path, TINY, progress=lambda line: None)


def test_the_same_file_under_two_classes_is_refused(photos, tmp_path):
    for name in ("a", "b"):
        for k in range(2):
            picture(tmp_path / name / f"{k}.png", (100, 100, 100), k + 2 * (name == "b"))
    (tmp_path / "b" / "1.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())
    with pytest.raises(LabError, match=r"a/0\.png and b/1\.png are the same file under two classes"):
        predict.fit(tmp_path, TINY, progress=lambda line: None)


# ---- nothing is left out in silence ----------------------------------------------------------------------------------
def test_every_file_left_out_is_counted_and_named_with_the_reason(tmp_path):
    for name in ("a", "b"):
        for k in range(2):
            picture(tmp_path / name / "deep" / f"{k}.png", (100, 100, 100), k + 2 * (name == "b"))
    picture(tmp_path / "loose.png", (1, 2, 3), 9)
    picture(tmp_path / "a" / ".hidden.png", (1, 2, 3), 9)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "b" / "list.csv").write_text("")
    (tmp_path / "b" / "link").symlink_to(tmp_path / "a")
    lines = []
    predict.fit(tmp_path, TINY, lines.append)
    assert lines[:4] == [
        "Left out, files that are no pictures: 2 (notes.txt, b/list.csv).",
        "Left out, hidden files and folders: 1 (a/.hidden.png).",
        "Left out, links to folders that are read elsewhere: 1 (b/link/).",
        "Left out, pictures in no class folder: 1 (loose.png).",
    ]


def test_what_the_classes_are_is_asked_and_can_be_said(tmp_path, capsys, monkeypatch):
    places = [f"{season}/{name}/{n}.png" for season in ("autumn", "spring") for name in ("cat", "dog") for n in (1, 2)]
    for seed, place in enumerate(places):
        picture(tmp_path / "photos" / place, (60, 100, 100), seed)
    words = ["fit", str(tmp_path / "photos"), "--model", str(tmp_path / "model.npz")]
    assert predict.main(words) == 2
    assert "choose --class-level 1 if the classes are autumn, spring" in capsys.readouterr().err
    for level, classes in (("1", ["autumn", "spring"]), ("2", ["cat", "dog"])):
        with monkeypatch.context() as patch:
            patch.setattr(predict, "Network", lambda: TINY)
            assert predict.main([*words, "--class-level", level]) == 0
        assert predict.load(tmp_path / "model.npz").classes == classes


def test_bad_images_are_left_out_and_counted_where_that_is_asked_for(tmp_path, capsys, monkeypatch):
    for name in ("a", "b"):
        for k in range(3):
            picture(tmp_path / name / f"{k}.png", (100, 100, 100), k + 3 * (name == "b"))
    (tmp_path / "a" / "text.jpg").write_text("no image")
    monkeypatch.setattr(predict, "Network", lambda: TINY)
    words = ["fit", str(tmp_path), "--model", str(tmp_path / "model.npz")]
    assert predict.main(words) == 2
    assert "or go on with the others by --skip-bad: a/text.jpg is not an image" in capsys.readouterr().err
    assert predict.main([*words, "--skip-bad"]) == 0
    told = capsys.readouterr().err
    assert "1 of 7 images can't be read and were left out: a/text.jpg" in told and "6 images of 2 classes" in told


def test_bad_images_in_the_folder_are_all_named(photos, tmp_path):
    for name in ("a", "b"):
        for k in range(2):
            picture(tmp_path / name / f"{k}.png", (100, 100, 100), k + 2 * (name == "b"))
    (tmp_path / "a" / "text.jpg").write_text("no image")
    (tmp_path / "b" / "broken.jpg").write_bytes((photos / "blue" / "0.png").read_bytes()[:300])
    (tmp_path / "b" / "empty.png").write_bytes(b"")
    with pytest.raises(LabError, match="3 images") as error:
        predict.fit(tmp_path, TINY, progress=lambda line: None)
    assert all(name in str(error.value) for name in ("a/text.jpg", "b/broken.jpg", "b/empty.png"))


@pytest.mark.parametrize("classes", [0, 1])
def test_too_few_classes_get_a_sentence(tmp_path, classes):
    for k in range(2 * classes):
        picture(tmp_path / "a" / f"{k}.png", (100, 100, 100), k)
    with pytest.raises(LabError, match=f"has {classes} class folders with images: at least two"):
        predict.fit(tmp_path, TINY, progress=lambda line: None)


# ---- the shell -------------------------------------------------------------------------------------------------------
def test_the_shell_fits_and_labels(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(predict, "Network", lambda: TINY)
    file = tmp_path / "model.npz"
    assert predict.main(["fit", str(photos), "--model", str(file)]) == 0
    monkeypatch.undo()
    assert "3 classes, nested accuracy" in capsys.readouterr().err
    assert predict.main(["label", "--model", str(file), "--top", "2", str(photos / "blue" / "0.png")]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert rows[0]["class"] == "blue"
    assert 0 <= float(rows[1]["probability"]) <= float(rows[0]["probability"]) <= 1


def test_the_shell_names_and_counts_bad_files_and_labels_the_others(saved, photos, tmp_path, capsys):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    bad = [str(tmp_path / name) for name in ("empty.jpg", "text.png", "missing.jpg", ".")]
    assert predict.main(["label", "--model", str(saved), *bad, str(photos / "green" / "1.png")]) == 1
    seen = capsys.readouterr()
    *lines, count = seen.err.splitlines()
    assert all(line.startswith(str(path)) for path, line in zip(bad[:3], lines, strict=False))
    assert count == "4 of 5 images have no label."
    assert len(seen.out.splitlines()) == 2
    assert predict.main(["label", "--model", str(saved), *bad]) == 1
    assert capsys.readouterr().out.splitlines() == ["file,rank,class,probability"]


def test_a_file_whose_name_is_no_text_is_named_and_gets_no_label(saved, photos, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(name)).write_bytes((photos / "green" / "1.png").read_bytes())
    words = [sys.executable, "-m", "lab_utils.predict", "label", "--model", str(saved), name]
    shell = subprocess.run(words, capture_output=True, cwd=PROJECT, check=False)
    assert shell.returncode == 1 and b"caf" in shell.stderr and b"1 of 1 images have no label" in shell.stderr


def test_a_place_that_cant_be_written_is_told_before_any_work(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(predict, "fit", lambda *_, **__: pytest.fail("the work began"))
    (tmp_path / "file").write_text("")
    for target in (tmp_path, tmp_path / "file" / "model.npz"):
        assert predict.main(["fit", str(photos), "--model", str(target)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "is a folder: give the file to write" in lines[0]
    assert "no folder that can be written to" in lines[1]


def test_no_table_is_begun_that_cant_be_filled(photos, tmp_path, capsys):
    model = small_model()
    model.identities = ["another"]
    file = model.save(tmp_path / "model.npz")
    assert predict.main(["label", "--model", str(file), str(photos / "blue" / "0.png")]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "weights of lite0 on this machine are not those of the model" in seen.err


def test_a_missing_model_or_folder_gets_one_sentence(tmp_path, capsys):
    assert predict.main(["label", "--model", str(tmp_path / "none.npz"), "a.jpg"]) == 2
    assert predict.main(["fit", str(tmp_path / "none"), "--model", "x.npz"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "There is no model file" in lines[0]
    assert "There is no folder" in lines[1]


# ---- numbers that are no numbers -------------------------------------------------------------------------------------
def test_another_setting_of_keras_in_the_users_home_changes_nothing(model, saved, photos, tmp_path):
    """`predict` answered nan and exit code 0 where a keras.json in the home asked for float16."""
    settings = {"floatx": "float16", "epsilon": 1e-3, "backend": "jax", "image_data_format": "channels_first"}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    (tmp_path / "numpy.py").write_text("raise SystemExit('another numpy')")
    packages = os.pathsep.join([str(tmp_path), str(PROJECT)])
    variables = {"HOME": str(tmp_path), "KERAS_BACKEND": "jax", "PYTHONOPTIMIZE": "2", "PYTHONPATH": packages}
    file = photos / "red & co" / "2.png"
    words = [sys.executable, "-m", "lab_utils.predict", "label", "--model", str(saved), "--top", "3", str(file)]
    shell = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=os.environ | variables, check=True)
    expected = model.label([file], 3).to_csv(index=False, float_format="%.4f")
    assert (shell.stdout, shell.stderr) == (expected, "")


def test_features_that_are_no_numbers_are_an_error_that_names_the_image(photos, monkeypatch):
    files = sorted(photos.glob("blue/*.png"))
    broken = np.ones((4, 1280), np.float32)
    broken[2, 7] = np.nan
    result = {"penultimate": broken}
    monkeypatch.setattr(predict.features, "forward", lambda *_: lambda images: result)
    with pytest.raises(LabError, match=r"gave features of .*2\.png that are no finite numbers"):
        TINY.features(files)


def test_probabilities_that_are_no_numbers_are_an_error():
    model = small_model()
    model.temperature = 1e-300
    with pytest.raises(LabError, match="probabilities that are no finite numbers"):
        model.probabilities(np.full((2, 1280), 1e30))


# ---- the model file --------------------------------------------------------------------------------------------------
def rewritten(path, header=lambda header: header, **arrays):
    """Write a model file again with another header and other arrays, its checksums right."""
    with np.load(path) as file:
        stored = {name: file[name] for name in file.files}
    content = json.dumps(header(json.loads(bytes(stored["header"])))).encode()
    np.savez(path, **stored | {"header": np.frombuffer(content, np.uint8)} | arrays)


FAULTS = {
    "version": {"version": 1},
    "an unknown network": {"names": ["../../etc/passwd"]},
    "networks as text": {"names": "lite0"},
    "more networks than weights": {"names": ["lite0", "lite1"]},
    "a network of another width": {"names": ["vgg16"]},
    "size as text": {"size": "32"},
    "a huge size": {"size": 10**6},
    "other weights": {"weights": "/tmp/weights.h5"},
    "temperature 0": {"temperature": 0.0},
    "temperature nan": {"temperature": float("nan")},
    "temperature as text": {"temperature": "1"},
    "a single class": {"classes": ["a"]},
    "classes as numbers": {"classes": [1, 2, 3]},
    "classes twice": {"classes": ["a", "b", "a"]},
    "hits above n": {"nested": [13, 12]},
    "no weights": {"identities": []},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_with_a_wrong_header_gets_one_sentence(tmp_path, fault):
    path = small_model().save(tmp_path / "model.npz")
    rewritten(path)
    assert predict.load(path).temperature == 0.5  # so the fault is what is refused
    rewritten(path, lambda header: header | FAULTS[fault])
    with pytest.raises(LabError, match=r"model\.npz is damaged or no model file of version 2: fit it again\.$"):
        predict.load(path)


@pytest.mark.parametrize("damage", ["text", "foreign", "folder", "shape", "pickle", "nan", "double", "bomb"])
def test_a_file_that_is_no_model_gets_one_sentence(tmp_path, damage):
    path = small_model().save(tmp_path / "model.npz")
    if damage == "text":
        path.write_text("no model")
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "foreign":
        np.savez(path, weights=np.zeros(3))
    elif damage == "bomb":  # 400 MB of zeros in 400 kB
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("header.npy", "w") as member:
            for _ in range(400):
                member.write(bytes(10**6))
    else:
        intercepts = {"shape": np.zeros(2, np.float32), "pickle": np.array([{"a": 1}], dtype=object)}
        intercepts |= {"nan": np.full(3, np.nan, np.float32), "double": np.zeros(3)}
        rewritten(path, intercept=intercepts[damage])
    with pytest.raises(LabError, match=r"model\.npz is damaged or no model file of version 2: fit it again\.$"):
        predict.load(path)


WATCHED = {"active": False, "events": []}


def watch(event, words):
    """Keep what a file that is read might do beyond being read: open others, import, run, unpickle."""
    if WATCHED["active"] and event.startswith(
        ("open", "import", "exec", "os.", "subprocess", "pickle", "socket", "ctypes")
    ):
        WATCHED["events"].append((event, *words[:1]))


sys.addaudithook(watch)  # can't be taken away again: it looks on while `active` only


def mutated(content, rng):
    """The bytes of a file with one to four faults: bytes changed, cut out, put in, moved, or the end missing."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        content = content or bytearray(1)
        place = rng.choice([rng.randrange(len(content)), rng.randrange(min(400, len(content))), -rng.randint(1, 300)])
        place, length = place % len(content), rng.randint(1, 40)
        kind = rng.randrange(5)
        if kind == 0:
            content[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[place : place + length] = rng.randbytes(length)
        elif kind == 2:
            del content[place : place + length]
        elif kind == 3:
            content[place:place] = bytes(content[-length:])
        else:
            content = content[: max(20, place)]
    return bytes(content)


VALUES = (None, -1, 0, 1, 2.5, 10**30, 1e308, float("inf"), "", "x", "../../x", [], [1], ["a"], {}, {"a": 1}, True)


def mutated_inside(members, rng):
    """A model file that is whole as a ZIP file, with one member's bytes or one value of its header changed."""
    members = dict(members)
    if rng.random() < 0.5:
        header = json.loads(members["header.npy"][128:])
        header[rng.choice([*header, "new"])] = rng.choice(VALUES)
        content = io.BytesIO()
        np.save(content, np.frombuffer(json.dumps(header).encode(), np.uint8))
        members["header.npy"] = content.getvalue()
    else:
        name = rng.choice([*members])
        members[name] = mutated(members[name], rng)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def test_ten_thousand_mutated_model_files_end_in_a_sentence_or_a_model_and_touch_nothing_else(tmp_path, monkeypatch):
    narrow = backbones.backbone("lite0").__class__(**{**vars(backbones.backbone("lite0")), "width": 4})
    monkeypatch.setitem(registry.REGISTRY, "lite0", narrow)  # small files: 4 features
    whole = small_model()
    whole.coefficients = whole.coefficients[:4]
    path = whole.save(tmp_path / "model.npz")
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert predict.load(path).classes == ["a", "b", "c"]
    rng, models, refused = random.Random(0), 0, 0
    for number in range(10_000):
        path.write_bytes(mutated(content, rng) if number % 2 else mutated_inside(members, rng))
        WATCHED["active"] = True
        try:
            loaded = predict.load(path)
        except LabError as error:
            refused += 1
            assert str(error).endswith("is damaged or no model file of version 2: fit it again.")
        else:
            models += 1
            assert {*loaded.network.names} <= {*registry.REGISTRY}
        finally:
            WATCHED["active"] = False
    assert {(event, str(words[0])) for event, *words in WATCHED["events"]} == {("open", str(path))}
    assert models > 100  # changed names of classes, say
    assert refused > 7000
