"""The paper's protocol: masked pooling against the bare image, batches of variable shape, the runs, the table."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from notebook_cells import function_of
from PIL import Image

from lab_utils.chapters import paper_baselines
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import FineTuning, Networks, Paper
from lab_utils.data.splits import SplitImages
from lab_utils.lab import Lab
from lab_utils.networks import backbones
from lab_utils.stats.intervals import Accuracy, Difference, Estimate

MOVES = {"rotation": 30, "shift": 0, "flip": True, "fill": "constant"}
FIXED, VARIABLE = paper_baselines.FIXED, paper_baselines.VARIABLE


def cell(function, lab, **names):
    """A function of the notebook, as the cells before it leave the names that it uses."""
    known = {"lab": lab, "use": lab.settings.paper, "moves": MOVES, **names}
    return function_of("02_paper_baselines", function, **known)


def networks(lab):
    """The notebook's functions that build a network, by name."""
    masked_mean = cell("masked_mean", lab)
    names = {"masked_mean": masked_mean, "both_means": cell("both_means", lab, masked_mean=masked_mean)}
    for function in ("fixed_shape", "variable_shape", "build"):
        names[function] = cell(function, lab, **names)
    return SimpleNamespace(**names)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Twelve images of two classes, wide and high, as a chapter sees them."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    rows = []
    for i in range(12):
        width, height = (96, 48) if i % 3 else (48, 96)
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        subset = ("train", "train", "val", "test")[i % 4]
        rows.append({"path": str(path), "aspect": width / height, "label": (i + i // 4) % 2, "subset": subset})
    images = pd.DataFrame(rows).assign(medium=lambda table: table["label"].map({0: "Bronze", 1: "Glass"}))
    options = Paper(size=64, crop=48, frozen=4, epochs=1, batch=4, padding_images=2)
    settings = SimpleNamespace(paper=options, networks=Networks(names=("lite0",)), fine_tuning=FineTuning())
    hidden = np.where(images["subset"] == "test", -1, images["label"])
    split_images = SplitImages(lambda size: None, images["subset"].to_numpy(), hidden, 2, "test")
    return SimpleNamespace(
        images=images,
        split_images=split_images,
        settings=settings,
        classes=["Bronze", "Glass"],
        table=SimpleNamespace(source="sample", data_hash="test"),
        rows=lambda *splits: np.flatnonzero(images["subset"].isin(splits)),
        title=lambda name: backbones.backbone(name).title,
        lots=lambda *splits: None,
        labels=lambda split: images["label"].to_numpy()[images["subset"] == split],
        blocks=lambda model: backbones.blocks_of(model, model.name),
        _size_of=lambda model: model.input_shape[1],
    )


# ---- masked pooling -------------------------------------------------------------------------------------------------
def test_masked_mean_of_a_padded_map_is_the_mean_of_the_bare_one(lab):
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    mask = np.zeros((2, 96, 128), np.float32)
    mask[0, :64, :96] = 1
    mask[1, :96, :32] = 1
    means = networks(lab).both_means(maps, mask)
    assert np.allclose(means["unmasked"], maps.mean((1, 2)), atol=1e-6)
    assert np.allclose(means["masked"], [maps[0, :2, :3].mean((0, 1)), maps[1, :3, :1].mean((0, 1))], atol=1e-6)


def test_a_cell_half_on_the_image_counts_half(lab):
    maps = np.array([[[[1.0], [4.0]]]], np.float32)
    mask = np.ones((1, 32, 64), np.float32)
    mask[:, :, 48:] = 0
    assert np.allclose(cell("masked_mean", lab)(maps, mask), (1 + 0.5 * 4) / 1.5)


@pytest.mark.parametrize("name", ["lite0", "vgg16", "efficientnetb0"])
def test_padding_becomes_what_the_network_itself_pads_with(lab, monkeypatch, name):
    images, mask = np.full((1, 64, 32, 3), 200, np.float32), np.zeros((1, 64, 32), np.float32)
    mask[:, :40, :20] = 1
    monkeypatch.setattr(backbones, "build", lambda *_, input_tensor, **__: seen(input_tensor))
    network = networks(lab).variable_shape(paper_baselines.setup(lab, name), lambda maps, mask: maps)
    x = np.asarray(network([images, mask]))
    assert np.allclose(x[0, :40, :20], backbones.preprocess(name, images)[0, 0, 0])
    assert np.allclose(x[0, 40:], backbones.neutral(name)) and np.allclose(x[0, :, 20:], backbones.neutral(name))


def seen(tensor):
    """A network that gives what it is fed."""
    import keras

    return keras.Model(keras.utils.get_source_inputs(tensor), tensor)


def test_neutral_pixels_of_a_network_that_scales_inside_are_zero_behind_its_scaling():
    import keras

    b0 = backbones.build("efficientnetb0", weights="random", top=False, size=32)
    norm = next(layer for layer in b0.layers if type(layer).__name__ == "Normalization")
    norm.adapt_mean.assign([0.485, 0.456, 0.406])  # as in the published weights
    norm.finalize_state()
    pixel = np.broadcast_to(backbones.neutral("efficientnetb0"), (1, 32, 32, 3))
    assert np.allclose(keras.Model(b0.input, norm.output)(pixel), 0, atol=1e-5)


# ---- batches --------------------------------------------------------------------------------------------------------
def test_variable_batches_keep_the_order_asked_for_the_area_and_the_shape(lab):
    rows = lab.rows("train")[np.array([3, 0, 5])]
    images, mask = paper_baselines.padded_images(lab, paper_baselines.shapes(lab)).batch_of(rows)
    assert images.shape[1] % 32 == images.shape[2] % 32 == 0
    assert np.allclose(mask.sum((1, 2)), 64**2, rtol=0.03)
    high, wide = mask.max(2).sum(1), mask.max(1).sum(1)
    assert np.allclose(wide / high, lab.images["aspect"].to_numpy()[rows], rtol=0.05)


def test_fixed_shape_is_the_centre_outside_training_and_another_crop_in_each_step(lab):
    import keras

    pixels = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype("float32")
    model = networks(lab).build("lite0", FIXED)
    crops = keras.Model(model.input, model.layers[1].output)
    assert np.array_equal(crops(pixels), pixels[:, 8:56, 8:56])
    first, other = (np.asarray(crops(pixels, training=True)) for _ in range(2))
    assert first.shape == (2, 48, 48, 3) and not np.allclose(first, other)


def test_square_copies_are_stretched_back_by_the_table_and_plain_squares_are_not_applicable(lab, tmp_path):
    path = tmp_path / "square.png"
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(path)
    squares = lab.images.assign(path=str(path))
    copies = paper_baselines.shapes(SimpleNamespace(images=squares))
    assert copies.applicable and "stretched back" in copies.words and (copies.aspect == squares["aspect"]).all()
    plain = paper_baselines.shapes(SimpleNamespace(images=squares.assign(aspect=1.0)))
    assert not plain.applicable and "not applicable" in plain.words
    own = paper_baselines.shapes(lab)
    assert own.applicable and own.aspect is None


def test_folders_whose_images_all_have_one_shape_but_the_square_keep_it(lab, tmp_path):
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "wide.png")
    same = lab.images.assign(path=str(tmp_path / "wide.png"), aspect=4 / 3)
    assert paper_baselines.shapes(SimpleNamespace(images=same)).words == "aspect ratio of the files"


def test_shapes_are_looked_for_in_the_whole_table(tmp_path):
    for name, size in (("square", (20, 20)), ("wide", (20, 40))):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / "square.png")] * 100 + [str(tmp_path / "wide.png")] * 100
    images = pd.DataFrame({"path": paths, "aspect": [1.0] * 100 + [2.0] * 100})
    assert paper_baselines.shapes(SimpleNamespace(images=images)).words == "aspect ratio of the files"


# ---- the run --------------------------------------------------------------------------------------------------------
@pytest.fixture
def pixels(lab, monkeypatch):
    squares = np.random.default_rng(1).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    images = replace(lab.split_images, pixels=lambda size: squares)
    monkeypatch.setattr(lab, "split_images", images)
    return squares


@pytest.mark.parametrize("shape", [FIXED, VARIABLE])
def test_a_run_starts_near_ln_2_answers_as_its_whole_network_and_is_found_again(lab, pixels, tmp_path, shape):
    def fit(model, inputs=None, **more):
        return Lab.fit(lab, model, inputs, **more, folder=tmp_path, progress=lambda line: None)

    here = SimpleNamespace(**{**vars(lab), "fit": fit})
    images = paper_baselines.padded_images(lab, paper_baselines.shapes(lab))
    options = {"epochs": 1, "batch": 4, "seed": 0, "cap": 6, "tolerance": 0.3}
    names = {"build": networks(lab).build, "inputs": {FIXED: None, VARIABLE: images}, "options": options}
    train = cell("train", here, **names)
    run = train("Lite0", "lite0", shape)
    assert 0 < abs(run.fitted.first_cross_entropy - np.log(2)) < 0.3
    assert run.logits.shape == (3, 2) and run.val.n == 3 and run.title == f"Lite0, {shape}"
    rows = lab.rows("test")
    inputs = images.batch_of(rows) if shape == VARIABLE else pixels[rows]
    assert np.allclose(run.fitted.model(inputs, training=False), run.logits, atol=1e-4)
    untouched = backbones.build("lite0", top=False, size=48).get_layer("block5c_project_conv").get_weights()
    kept = run.fitted.model_of("last").get_layer("block5c_project_conv").get_weights()
    assert all(np.array_equal(before, after) for before, after in zip(untouched, kept, strict=True))
    assert train("Lite0", "lite0", shape).fitted.loaded


def test_a_class_without_train_images_is_one_sentence(lab):
    todo = pd.DataFrame({"architecture": ["Lite0"], "network": ["lite0"], "not run because": [""]})
    three = SimpleNamespace(**{**vars(lab), "classes": ["Bronze", "Glass", "Ivory"]})
    with pytest.raises(LabError, match="Class 'Ivory' has no train image"):
        paper_baselines.runnable(three, todo)


def test_no_architecture_at_hand_is_one_sentence(lab):
    todo = pd.DataFrame({"architecture": ["VGG16"], "network": ["vgg16"], "not run because": ["missing"]})
    with pytest.raises(LabError, match="None of the architectures"):
        paper_baselines.runnable(lab, todo)
    todo["not run because"] = ""
    assert paper_baselines.runnable(lab, todo) == [("VGG16", "vgg16")]


def test_architectures_without_weights_say_why(lab, monkeypatch, tmp_path):
    monkeypatch.setattr(backbones, "WEIGHTS_FOLDER", tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    todo = paper_baselines.architectures(lab).set_index("network")
    assert "not on this machine" in todo.at["resnet50", "not run because"]
    assert todo.at["lite0", "not run because"] == "" and len(todo) == 8


def test_a_download_that_fails_is_the_reason_in_its_row_and_the_others_go_on(lab, monkeypatch):
    options = lab.settings.paper.model_copy(update={"download": True})
    settings = SimpleNamespace(paper=options, networks=lab.settings.networks)
    tried = []

    def fetch(wanted, weights="imagenet"):
        tried.extend(wanted)
        return ["The weights of VGG16 could not be downloaded."] if wanted == [("vgg16", False)] else []

    monkeypatch.setattr(backbones, "fetch", fetch)
    todo = paper_baselines.architectures(SimpleNamespace(**{**vars(lab), "settings": settings})).set_index("network")
    assert todo.at["vgg16", "not run because"] == "The weights of VGG16 could not be downloaded."
    assert todo.at["resnet50", "not run because"] == "" and ("lite0", False) in tried


def test_random_weights_are_said_in_every_name_and_the_reported_numbers_are_still_found(lab):
    settings = SimpleNamespace(paper=lab.settings.paper, networks=Networks(names=("lite0",), weights="random"))
    todo = paper_baselines.architectures(SimpleNamespace(**{**vars(lab), "settings": settings}))
    assert todo["architecture"].str.endswith("(random weights)").all()
    reported = pd.DataFrame({"architecture": ["VGG16"], "fs": [0.812], "vs": [0.8121]})
    table = paper_baselines.results_table(todo, reported, {}, paper_baselines.Shapes(True, ""), "").set_index(
        "architecture"
    )
    assert table.at["VGG16 (random weights)", "FS (reported)"] == "81.20 %"


def test_blocks_that_can_be_frozen_end_at_four():
    with pytest.raises(ValueError, match="frozen"):
        Paper(frozen=5)


# ---- padding --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def photos(lab, tmp_path_factory):
    """Two real photographs, bundled with scikit-image, in place of the images."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photos")
    for name in ("chelsea", "coffee"):
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")
    images = pd.DataFrame({"path": sorted(map(str, folder.glob("*.png"))), "subset": "train"})
    return SimpleNamespace(**{**vars(lab), "images": images, "rows": lambda *splits: np.arange(2)})


def padding_effect(lab, *sizes):
    network = networks(lab).variable_shape(paper_baselines.setup(lab, "lite0"), networks(lab).both_means)
    return paper_baselines.padding_effect(lab, network, *sizes)


def test_padding_moves_features_by_about_39_percent_and_by_about_20_masked(photos):
    effect = padding_effect(photos, (192, 320), (320, 320))  # measured before on other photographs
    assert 0.1 < effect["masked"].value < 0.28 < 0.33 < effect["unmasked"].value < 0.45


def test_no_padding_moves_nothing_and_a_canvas_must_hold_the_image(photos):
    none = padding_effect(photos, (64, 96), (64, 96))
    assert none["masked"].value == pytest.approx(0, abs=1e-5) == pytest.approx(none["unmasked"].value, abs=1e-5)
    with pytest.raises(LabError, match="can't hold"):
        padding_effect(photos, (64, 96), (64, 90))


def test_the_sentence_on_masking_follows_the_numbers():
    def effect(masked, plain):
        values = {"masked": masked, "unmasked": plain}
        return {key: Estimate(v, v - 0.02, v + 0.02, 9, scale=100) for key, v in values.items()}

    assert "receptive field" in paper_baselines.padding_words(effect(0.2, 0.4))
    assert "not shown to help" in paper_baselines.padding_words(effect(0.39, 0.4))
    assert paper_baselines.padding_words(effect(0.0, 0.4)).endswith("masking removes it.")


def test_share_of_padding_by_hand():
    # 256 x 256 each alone fills its batch; 362 x 181 and 181 x 362 share 384 x 384
    assert paper_baselines.padding_share([1.0, 1.0]) == 0
    assert paper_baselines.padding_share([2.0, 0.5]) == pytest.approx(1 - 362 * 181 / 384**2)


def test_padding_is_measured_on_images_from_the_whole_of_train(lab, monkeypatch):
    seen = []
    monkeypatch.setattr(
        paper_baselines.pipeline, "decode", lambda path: seen.append(path) or np.zeros((48, 96, 3), np.uint8)
    )
    padding_effect(lab, (32, 64), (64, 64))
    train = lab.images["path"].to_numpy()[lab.rows("train")]
    assert seen == [train[0], train[-1]]


def test_the_protocol_sets_our_settings_beside_the_papers(lab):
    from lab_utils.core.records import PROJECT

    reported = PROJECT / "data" / "reported" / "paper_protocol.csv"
    table = paper_baselines.protocol(lab, pd.read_csv(reported), paper_baselines.shapes(lab), MOVES)
    rows = table.set_index("setting")
    assert rows.loc["epochs"].tolist() == ["1", "300"] and rows.loc["frozen"].tolist() == ["4 of 5 blocks", "none"]
    assert set(table["setting"]) - {"epoch"} == set(table.loc[table["paper (reported)"] != "not known", "setting"])
    words = paper_baselines.protocol_differences(table)
    assert "epochs 1 (paper 300)" in words and "FS size 64 → 48 px (paper 256 → 224 px)" in words
    assert not any(same in words for same in ("rotation", "optimiser", "not known"))


def run_of(network, predicted, val, shape=FIXED):
    name = {value: key for key, value in paper_baselines.ARCHITECTURES.items()}.get(network, "stand-in")
    return paper_baselines.PaperRun(name, network, shape, None, Accuracy(val, 100), np.eye(2)[predicted])


def test_b3_is_held_against_the_other_architecture_that_is_best_on_val_not_on_test():
    truth = np.zeros(50, int)
    b3, best_on_test = run_of("efficientnetb3", [0] * 30 + [1] * 20, 10), run_of("vgg16", truth, 50)
    best_on_val = run_of("resnet50", [0] * 10 + [1] * 40, 60)
    others = [run_of("lite0", truth, 99), run_of("densenet121", truth, 99, VARIABLE)]
    found, rival = paper_baselines.against_rival(truth, [best_on_test, best_on_val, b3, *others])
    assert rival == "ResNet50" and found.value == pytest.approx(0.4)
    assert paper_baselines.against_rival(truth, [best_on_test, best_on_val]) is None, "B3 was not run"
    assert paper_baselines.against_rival(truth, [b3, *others]) is None, "none but B3 was run"


# ---- tables and sentences -------------------------------------------------------------------------------------------
def test_reported_rows_are_sorted_by_what_their_intervals_allow():
    table = pd.DataFrame({"architecture": ["A", "B", "C"], "fs": [0.80, 0.73, 0.85], "vs": [0.801, 0.76, 0.83]})
    text = paper_baselines.reported_ties(table, 15_657)
    assert "a tie for A; better for B; worse for C" in text
    assert "a tie for A, B, C" in paper_baselines.reported_ties(table, 100)


def test_the_table_puts_ours_beside_the_reported_and_says_what_was_not_run():
    todo = pd.DataFrame(
        {"architecture": ["VGG16", "Lite0"], "network": ["vgg16", "lite0"], "not run because": ["no weights", ""]}
    )
    reported = pd.DataFrame({"architecture": ["VGG16"], "fs": [0.812], "vs": [0.8121]})
    square = paper_baselines.Shapes(False, "not applicable: all images are square")
    table = paper_baselines.results_table(
        todo, reported, {"Lite0, FS": Accuracy(40, 100)}, square, "3 epochs"
    ).set_index("architecture")
    assert table.at["VGG16", "FS (reported)"] == "81.20 %" and table.at["VGG16", "FS (here)"] == "not run"
    assert table.at["VGG16", "differences of protocol"] == "–"
    assert str(table.at["Lite0", "FS (here)"]).startswith("40.0 %") and table.at["Lite0", "FS (reported)"] == "–"
    assert "not applicable" in table.at["Lite0", "VS (here)"]


@pytest.mark.parametrize("low, words", [(0.01, "would be better"), (-0.03, "use squares.")])
def test_the_decision_says_when_it_goes_against_the_numbers(low, words):
    effect = {"masked": Estimate(0.2, 0.1, 0.3, 9)}
    gap = {"Lite0": Difference(0.02, low, 0.07, 100)}
    assert words in paper_baselines.decision(gap, effect, paper_baselines.Shapes(True, "files"))[0]
