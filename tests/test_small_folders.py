"""Folders of few images: what the data allow is done, what they don't allow is not run, and a sentence says so."""

import itertools
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from miniature import ROOT, copy_of_the_lab
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from lab_utils.analysis import classification, classifiers, cohesion, focus, folds, outliers, transferability
from lab_utils.chapters import fine_tuned_features, grad_cam, maps
from lab_utils.core.environment import stated
from lab_utils.core.errors import NotRunError
from lab_utils.data import folder
from lab_utils.lab import Lab
from lab_utils.stats import metrics

SIZES = {  # images of each class: train images that chapters 03, 04, 05 and 12 find; whether val allows mosaics
    "2 classes of 3": ([3, 3], 2, False),
    "3 classes of 3": ([3] * 3, 3, False),
    "3 classes of 10": ([10] * 3, 18, True),
    "29 classes of 5": ([5] * 29, 87, False),
    "one of 3 beside one of 200": ([3, 200], 121, False),
    "120 classes of 3": ([3] * 120, 120, False),
    "one of 200 among eleven of 3": ([200] + [3] * 11, 131, True),
    "2 classes of 17": ([17] * 2, 22, True),
}


@pytest.fixture(params=SIZES)
def split(request):
    """Labels and features of the three splits of a folder, as chapters have them, and what is expected."""
    sizes, train, mosaics = SIZES[request.param]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    names = pd.Series([f"class {label}" for label in labels])
    subset = folder.split(names, pd.Series([f"{place}.jpg" for place in range(len(labels))])).to_numpy()
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(len(sizes), 12))[labels] + rng.normal(size=(len(labels), 12))).astype(np.float32)
    rows = {name: np.flatnonzero(subset == name) for name in ("train", "val", "test")}
    return SimpleNamespace(labels=labels, X=X, rows=rows, subset=subset, train=train, mosaics=mosaics)


def lab_of(split, groups=None):
    """What `need_images` looks at."""
    lots = split.rows["train"] if groups is None else groups
    about = {"missing": 0, "chapter": "05_classification", "lots": lambda name: lots}
    about["labels"] = lambda name: split.labels[split.rows["train"]]
    return SimpleNamespace(**about)


def test_every_class_is_in_every_split_and_chapters_that_need_ten_say_how_many_there_are(split):
    assert {(label, part) for label, part in zip(split.labels, split.subset, strict=True)} == {
        (label, part) for label in np.unique(split.labels) for part in split.rows
    }
    assert len(split.rows["train"]) == split.train
    Lab.need_images(lab_of(split))
    if split.train >= 10:
        Lab.need_images(lab_of(split), train=10)
        return
    with pytest.raises(NotRunError, match=f"Chapter 05 needs 10 different train images and there are {split.train} "):
        Lab.need_images(lab_of(split), train=10)


def test_look_alikes_count_once_where_ten_are_needed():
    twelve = SimpleNamespace(rows={"train": np.arange(12)})
    Lab.need_images(lab_of(twelve), train=10)
    with pytest.raises(NotRunError, match="there are 4 "):
        Lab.need_images(lab_of(twelve, np.repeat(["a", "b", "c", "d"], 3)), train=10)


def test_mosaics_are_made_where_val_allows_them(split):
    labels = split.labels[split.rows["val"]]
    assert focus.allows_mosaics(labels) == split.mosaics
    if split.mosaics:
        plan = focus.plan_mosaics(labels, 8)
        assert (labels[plan.members] == plan.targets[:, None]).sum(1).tolist() == [2] * 8
    assert grad_cam.focus_by_way(None, {}, None, split.rows["val"]) == {}
    evidence = grad_cam.focus_evidence({}, "a network")
    assert evidence["pretrained"] is None and not evidence["parts"]


def test_labels_are_doubted_only_where_others_of_their_class_are_there(split):
    labels, X = split.labels[split.rows["train"]], split.X[split.rows["train"]]
    doubted = outliers.suspected_labels(X, labels)
    assert (np.bincount(labels)[labels[doubted["position"]]] >= 2).all()
    sampled = SimpleNamespace(rows=labels, counts=pd.DataFrame({"images": np.bincount(labels)}))
    words = maps.suspects_words(sampled, doubted.assign(label="a", suggested="b"))
    assert words.startswith("No label can be checked") == ((np.bincount(labels) >= 2).sum() < 2)


def test_maps_are_drawn_of_splits_with_ten_images(split):
    space = SimpleNamespace(of=lambda name: split.rows[name])
    mapped = fine_tuned_features.mapped(space, [space])
    assert [name for name, _ in mapped] == [name for name in ("train", "val") if len(split.rows[name]) >= 10]
    if not mapped:
        assert "too few" in fine_tuned_features.components_words({}, None)


def test_classifiers_folds_and_measures_take_any_of_them_that_has_ten(split):
    train, val, labels = split.rows["train"], split.rows["val"], split.labels
    if split.train < 10:
        return  # these chapters were not run
    if np.bincount(labels[train]).max() < 2:
        with pytest.raises(NotRunError, match="05 needs a class with 2 train images or more and there is none"):
            Lab.need_images(lab_of(split), train=10, of_a_class=2)
        return
    Lab.need_images(lab_of(split), train=10, of_a_class=2)
    if (np.bincount(labels[train]) >= 2).sum() == 1:
        with pytest.raises(NotRunError, match="needs 2 classes with 2 train images or more and there is 1: add"):
            Lab.need_images(lab_of(split), of_a_class=2, classes=2)
    masked = np.where(split.subset == "test", -1, labels)
    groups = np.arange(len(labels)).astype(str)
    number, _ = folds.as_many_folds(5, labels[train], groups[train])
    ordered = classification.positions(StratifiedKFold(number), train, labels)
    for fit, held in [*ordered, *folds.grouped_folds(labels, groups, train)]:
        assert not set(fit) & set(held) and set(held) <= set(train)
    probe = transferability.probe(classifiers.Ridge(), split.X, masked, train, val)
    assert 0 <= probe.accuracy.value <= 1
    assert np.isfinite(transferability.logme_estimate(split.X[train], labels[train], train, 5).value)
    assert np.isfinite(transferability.neighbour_estimate(split.X[train], labels[train], 5).value)
    assert np.isfinite(cohesion.cohesion(split.X[train], labels[train]).purity).all()
    four = classifiers.original_classifiers(3, 5, 0)
    compared = classification.evaluate(four, split.X, masked, train)
    assert all(set(compared.answers[name][val]) <= set(labels) for name in four)


def test_a_report_and_averages_of_few_images_are_numbers(split):
    test = split.labels[split.rows["test"]]
    counts = metrics.confusion_matrix(test, np.zeros_like(test), split.labels.max() + 1)
    names = [f"class {label}" for label in range(len(counts))]
    report = metrics.classification_report(counts, names, dict(zip(names, counts.sum(1), strict=True)))
    assert np.isfinite(report.select_dtypes("number").to_numpy()).all()
    assert all(0 <= average.low <= average.high <= 1 for average in metrics.averages(counts, "it").values())


# ---- whole chapters --------------------------------------------------------------------------------------------------
CHAPTERS = ("01", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15")  # 02 takes long


@pytest.mark.slow
def test_chapters_of_three_classes_of_ten_images_do_what_they_can(tmp_path):
    for label, number in itertools.product(range(3), range(10)):
        rng = np.random.default_rng([label, number])
        path = tmp_path / "photos" / f"class {label}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((64, 48), Image.Resampling.BICUBIC).save(path)
    lab = copy_of_the_lab(tmp_path / "lab", leave=())
    script = lab.parent / "toy_run.py"
    script.write_text((ROOT / "tests" / "toy_run.py").read_text())
    variables = {**stated(root=lab), "LAB_EXERCISES": "solve", "MPLBACKEND": "agg"}
    words = [sys.executable, script, tmp_path / "photos", "small", *CHAPTERS]
    child = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
    outcomes = json.loads(child.stdout.splitlines()[-1])
    assert {step: state for step, (state, _) in outcomes.items()} == dict.fromkeys(outcomes, "ok"), child.stdout
    assert len(outcomes) == len(CHAPTERS)
