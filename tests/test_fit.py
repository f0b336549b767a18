import math
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from toy_networks import CLASSES, compiled, perceptron, pictures, tuned, vectors

from lab_utils.core.errors import LabError
from lab_utils.networks.random_warp import random_warp
from lab_utils.stats.metrics import cross_entropy, softmax
from lab_utils.training import callbacks, feeding, saved_run
from lab_utils.training.callbacks import scores
from lab_utils.training.feeding import Split
from lab_utils.training.fit import fit


@pytest.fixture(autouse=True)
def a_state_after_every_epoch(monkeypatch):
    monkeypatch.setattr(callbacks, "SAVED_EVERY", 0)


def run(folder, model=None, data=vectors, n=40, **more):
    options = {"epochs": 3, "batch": 8, "seed": 1, "title": "toy", "progress": lambda line: None} | more
    return fit(model or perceptron(), data(n, 0), data(20, 1), folder=folder, **options)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def equal_runs(first, second):
    """Whether two runs ended with the same bits."""
    histories = [run.history.drop(columns="seconds") for run in (first, second)]
    weights = [same(first.weights(which), second.weights(which)) for which in ("best", "last")]
    return histories[0].equals(histories[1]) and all(weights)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that nothing disturbed."""
    return run(tmp_path_factory.mktemp("straight"))


# ---- against Keras itself --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["penalty, class weights", "smoothed", "of one's own"])
def test_an_epoch_does_what_keras_train_on_batch_does(tmp_path, kind):
    import keras

    losses = {
        "smoothed": keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3),
        "of one's own": focal,
    }
    weights = {0: 2.0, 2: 0.5} if "weights" in kind else None
    options = {"dropout": 0.0, "l2": 0.05 if "penalty" in kind else 0.0, "loss": losses.get(kind)}
    ours, theirs, data = perceptron(**options), perceptron(**options), vectors(16, 0)
    trained = run(tmp_path, ours, n=16, batch=16, epochs=1, class_weight=weights)
    order = np.random.default_rng([1, 0]).permutation(16)
    labels = np.eye(CLASSES)[data.labels] if kind == "smoothed" else data.labels
    everything = {0: 2.0, 1: 1.0, 2: 0.5} if weights else None
    expected = theirs.train_on_batch(data.inputs[order], labels[order], class_weight=everything)
    assert trained.history["loss"][0] == pytest.approx(float(expected), rel=1e-5)
    for mine, other in zip(trained.weights("last"), theirs.variables, strict=True):
        np.testing.assert_allclose(mine, np.asarray(other), atol=1e-5)


def focal(labels, logits):
    import keras

    losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return (1 - keras.ops.exp(-losses)) * losses


def test_cross_entropy_penalty_and_accuracy_are_kept_apart(tmp_path):
    model = perceptron(l2=0.5, dropout=0.0)
    kernel = np.array(model.layers[0].kernel)
    data = vectors(8, 0)
    logits = model(data.inputs, training=True).numpy()
    row = run(tmp_path, perceptron(l2=0.5, dropout=0.0), n=8, epochs=1).history.iloc[0]
    assert row["penalty"] == pytest.approx(0.5 * (kernel**2).sum(), rel=1e-5)
    assert row["cross_entropy"] == pytest.approx(cross_entropy(logits, data.labels).mean(), rel=1e-4)
    assert row["loss"] == pytest.approx(row["penalty"] + row["cross_entropy"], rel=1e-5)
    assert row["accuracy"] == pytest.approx((logits.argmax(1) == data.labels).mean())


def test_means_weigh_a_short_last_batch_by_its_images(tmp_path):
    data, model = vectors(10, 0), perceptron(dropout=0.0, rate=0.0)
    order = np.random.default_rng([1, 0]).permutation(10)
    parts = []
    for rows in (order[:8], order[8:]):
        parts.extend(cross_entropy(model(data.inputs[rows], training=True).numpy(), data.labels[rows]))
    row = run(tmp_path, perceptron(dropout=0.0, rate=0.0), n=10, epochs=1).history.iloc[0]
    assert row["cross_entropy"] == pytest.approx(np.mean(parts), rel=1e-5)


def test_scores_separate_right_and_wrong_confidence():
    got = scores(np.log(np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])), np.array([0, 0, 1]))
    assert got["accuracy"] == pytest.approx(2 / 3) and got["confidence_right"] == pytest.approx(0.8)
    assert got["confidence_wrong"] == pytest.approx(0.6)
    assert got["cross_entropy"] == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.7)) / 3)


# ---- load or train ---------------------------------------------------------------------------------------------------
def test_building_and_fitting_again_loads_and_gives_the_same_answers(tmp_path, straight):
    model = perceptron()
    before = [np.array(variable) for variable in model.variables]
    first, again = run(tmp_path, model), run(tmp_path)
    assert not first.loaded and again.loaded and equal_runs(again, straight)
    assert np.array_equal(first.logits("val"), again.logits("val"))
    assert same(before, model.variables)  # the given network keeps its first weights
    assert len(list((tmp_path / "models").iterdir())) == 1


def test_history_has_a_row_an_epoch_and_the_best_one_is_the_highest_on_val(tmp_path):
    trained, val = run(tmp_path, epochs=6), vectors(20, 1)
    columns = {"accuracy", "cross_entropy", "penalty", "loss", "val_accuracy", "val_cross_entropy", "clean_accuracy"}
    history = trained.history
    assert list(history["epoch"]) == [1, 2, 3, 4, 5, 6] and columns <= set(history)
    at_best = history[history["val_accuracy"] == history["val_accuracy"].max()]
    assert trained.best_epoch == at_best.sort_values("val_cross_entropy")["epoch"].iloc[0]
    by_epoch = softmax(trained.val_logits())
    assert by_epoch.shape == (6, 20, CLASSES)
    assert (by_epoch.argmax(2) == val.labels).mean(1) == pytest.approx(history["val_accuracy"].to_numpy())
    assert (trained.probabilities("val").argmax(1) == val.labels).mean() == history["val_accuracy"].max()
    assert trained.seconds == pytest.approx(history["seconds"].sum())


def test_networks_that_share_what_is_compiled_answer_with_their_own_weights(tmp_path, straight):
    first, other = run(tmp_path), run(tmp_path, perceptron(seed=7, rate=0.02))
    logits = first.logits("val")
    assert first._trainee.twin is other._trainee.twin
    assert equal_runs(first, straight)  # what was trained before and after on the same steps leaves no trace
    assert not np.array_equal(logits, other.logits("val")) and np.array_equal(logits, first.logits("val"))


def test_a_run_knows_what_its_kept_front_took_whoever_had_it_made(tmp_path):
    first, second = (run(tmp_path, tuned(head_dropout=rate), pictures, epochs=1) for rate in (0.0, 0.5))
    assert first.front == second.front and first.front["seconds"] > 0
    assert run(tmp_path, tuned(), pictures, epochs=1).front == first.front  # loaded
    assert run(tmp_path, tuned(trainable=True), pictures, epochs=1).front == {}
    assert run(tmp_path, tuned(before=(random_warp(),)), pictures, epochs=1).front == {}  # computed in every step


def test_model_is_built_as_it_was_given_and_answers_like_the_run(tmp_path):
    given = tuned(head_dropout=0.5)
    trained, val = run(tmp_path, given, pictures), pictures(20, 1)
    assert [layer.name for layer in trained.model.layers] == [layer.name for layer in given.layers]
    assert trained.model.get_layer("base").get_layer("conv2").name == "conv2"
    np.testing.assert_allclose(softmax(trained.model(val.inputs).numpy()), trained.probabilities("val"), atol=1e-6)
    np.testing.assert_allclose(trained.probabilities(val.inputs), trained.probabilities("val"), atol=1e-6)
    assert trained.activations("logits", "val") == pytest.approx(trained.logits("val"))


def test_only_the_given_rows_are_used(tmp_path, straight):
    data, val = vectors(40, 0), vectors(20, 1)
    spread = np.full((90, 6), np.nan, np.float32)
    rows = np.arange(5, 85, 2)
    spread[rows] = data.inputs
    options = {"epochs": 3, "batch": 8, "seed": 1, "folder": tmp_path, "progress": lambda line: None}
    trained = fit(perceptron(), Split(spread, data.labels, rows), val, **options)
    assert equal_runs(trained, straight)


def test_rows_read_ahead_from_memory_give_the_same_bits_as_rows_held_on_the_device(tmp_path, straight, monkeypatch):
    monkeypatch.setattr(feeding, "SHARE", 0.0)
    feeding._held.clear()
    assert equal_runs(run(tmp_path), straight)


def test_an_error_in_reading_ahead_is_told_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(feeding, "SHARE", 0.0)
    feeding._held.clear()
    real, calls = feeding.Read.take, []

    def take(self, rows):
        calls.append(1)
        if len(calls) > 8:
            raise LabError("Image 7 can't be read: delete it.")
        return real(self, rows)

    monkeypatch.setattr(feeding.Read, "take", take)
    with pytest.raises(LabError, match="Image 7"):
        run(tmp_path)


def test_of_two_at_once_the_second_waits_and_loads_what_the_first_made(tmp_path):
    training_goes_on, may_end, lines = threading.Event(), threading.Event(), []

    def slow(_):
        training_goes_on.set()
        may_end.wait(20)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, tmp_path, progress=slow)
        assert training_goes_on.wait(60)
        second = pool.submit(run, tmp_path, progress=lines.append)
        end = time.time() + 20
        while not lines and time.time() < end:
            time.sleep(0.01)
        may_end.set()
        assert not first.result().loaded and second.result().loaded
    assert lines == [f"  toy: process {os.getpid()} trains it; waiting"]


# ---- networks of every kind ------------------------------------------------------------------------------------------
def skip():
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3))
    x = start = keras.layers.Conv2D(4, 3, padding="same")(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.layers.Add()([keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x), start])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    return compiled(keras.Model(pixels, keras.layers.Dense(CLASSES)(keras.layers.Dropout(0.3)(x))))


def two_inputs():
    import keras

    keras.utils.set_random_seed(0)
    pixels, more = keras.Input((8, 8, 3), name="pixels"), keras.Input((6,), name="more")
    x = keras.layers.Conv2D(4, 3, trainable=False)(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(x), keras.layers.Dense(4)(more)])
    model = keras.Model({"pixels": pixels, "more": more}, keras.layers.Dense(CLASSES)(x))
    return compiled(model, keras.optimizers.schedules.CosineDecay(0.01, 15))


def two_data(n, seed):
    data = pictures(n, seed)
    more = np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)
    return Split({"pixels": data.inputs, "more": more}, data.labels)


def custom_layer():
    import keras

    class Gate(keras.layers.Layer):
        def __init__(self, width, **more):
            super().__init__(**more)
            self.width, self.inner = width, keras.layers.Dense(width)
            self.seeds = keras.random.SeedGenerator(3)

        def build(self, shape):
            self.scale = self.add_weight(shape=(self.width,), initializer="ones")
            self.inner.build(shape)

        def call(self, x, training=False):
            x = self.inner(x) * self.scale
            return x + keras.random.normal(keras.ops.shape(x), seed=self.seeds) if training else x

    keras.utils.set_random_seed(0)
    layers = [Gate(5), keras.layers.Activation(lambda x: x * 0.5), keras.layers.Dense(CLASSES)]
    return compiled(keras.Sequential([keras.Input((6,)), *layers]), loss=focal)


def class_of_its_own():
    import keras

    class Net(keras.Model):
        def __init__(self, width=7, **more):
            super().__init__(**more)
            self.first, self.last = keras.layers.Dense(width, "relu"), keras.layers.Dense(CLASSES)
            self.drop = keras.layers.Dropout(0.3)

        def call(self, x, training=False):
            return self.last(self.drop(self.first(x), training=training))

    keras.utils.set_random_seed(0)
    model = Net()
    model(np.zeros((1, 6), np.float32))
    model.first.trainable = False
    return compiled(model)


def own_train_step():
    import keras

    class Slow(keras.Model):
        def train_step(self, data):
            x, y = data
            return super().train_step((x * 0.5, y))

    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    return compiled(Slow(inputs, keras.layers.Dense(CLASSES)(keras.layers.Dropout(0.2)(inputs))))


KINDS = {
    "Sequential": (perceptron, vectors, {}),
    "skip connection, bfloat16": (skip, pictures, {"precision": "mixed_bfloat16"}),
    "dense layers, float16": (perceptron, vectors, {"precision": "mixed_float16"}),
    "nested, frozen base": (lambda: tuned(head_dropout=0.5), pictures, {}),
    "nested, partly frozen base": (lambda: partly_frozen(), pictures, {}),
    "nested, augmented": (lambda: tuned(before=[random_warp()]), pictures, {}),
    "two inputs": (two_inputs, two_data, {"class_weight": {1: 3.0}}),
    "custom layer and loss": (custom_layer, vectors, {}),
    "a class with a call": (class_of_its_own, vectors, {}),
    "a class with a train_step": (own_train_step, vectors, {}),
}


def partly_frozen():
    model = tuned(trainable=True)
    for name in ("conv1", "norm1", "drop"):
        model.get_layer("base").get_layer(name).trainable = False
    return compiled(model)


class StopError(Exception):
    pass


def interrupted(folder, model, data=vectors, after=1, **more):
    """Stop a run right after the state of an epoch was written."""

    def stop(line):
        if f"epoch {after}/" in line:
            raise StopError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "SHOWN_EVERY", 0)
        with pytest.raises(StopError):
            run(folder, model, data, progress=stop, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_trains_resumes_with_the_same_bits_and_loads(tmp_path, kind):
    build, data, options = KINDS[kind]
    undisturbed = run(tmp_path / "straight", build(), data, **options)
    interrupted(tmp_path / "stopped", build(), data, after=2, **options)
    lines = []
    resumed = run(tmp_path / "stopped", build(), data, progress=lines.append, **options)
    assert any("goes on after epoch 2 of 3" in line for line in lines)
    assert equal_runs(resumed, undisturbed) and not list(tmp_path.glob("stopped/models/*/state*"))
    assert run(tmp_path / "stopped", build(), data, **options).loaded
    assert not same(undisturbed.weights("last"), [np.asarray(variable) for variable in build().variables])
    answers, rounding = softmax(np.asarray(resumed.model(data(20, 1).inputs))), 0.02 if "float16" in kind else 1e-6
    np.testing.assert_allclose(answers, resumed.probabilities("val"), atol=rounding)


# ---- stopped and damaged ---------------------------------------------------------------------------------------------
def test_a_damaged_state_is_passed_over_for_the_one_before(tmp_path, straight):
    interrupted(tmp_path, perceptron(), after=2)
    (newest,) = tmp_path.glob("models/*/state.npz")
    content = bytearray(newest.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 64):  # more than a header, in which a date is no matter
        content[place] ^= 0xFF
    newest.write_bytes(bytes(content))
    lines = []
    trained = run(tmp_path, progress=lines.append)
    assert any("damaged" in line for line in lines) and any("goes on after epoch 1" in line for line in lines)
    assert equal_runs(trained, straight)


def test_a_damaged_result_is_trained_again(tmp_path, straight):
    run(tmp_path)
    (model,) = tmp_path.glob("models/*/model.npz")
    model.write_bytes(model.read_bytes()[:1000])
    again = run(tmp_path)
    assert not again.loaded and equal_runs(again, straight)


def test_a_flipped_bit_anywhere_in_a_file_is_found(tmp_path):
    import ml_dtypes

    groups = {"a": [np.arange(6, dtype=np.float32).reshape(2, 3)], "b": [np.ones(3, ml_dtypes.bfloat16), np.array(2)]}
    path = tmp_path / "file.npz"
    saved_run.write(path, groups, {"epoch": 3})
    read, about = saved_run.read(path)
    assert about == {"epoch": 3} and same(read["a"] + read["b"], groups["a"] + groups["b"])
    assert read["b"][0].dtype == ml_dtypes.bfloat16
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        stored = saved_run.read(path)
        same_arrays = stored and same(stored[0]["a"] + stored[0]["b"], groups["a"] + groups["b"])
        assert stored is None or (same_arrays and stored[1] == about)


def test_a_full_disk_gives_a_sentence_and_the_run_goes_on_later(tmp_path, straight, monkeypatch):
    real, calls = np.savez, []

    def full(*words, **arrays):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(*words, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(LabError, match="space"):
            run(tmp_path)
    lines = []
    trained = run(tmp_path, progress=lines.append)
    assert any("goes on after epoch 1" in line for line in lines) and equal_runs(trained, straight)


def test_states_are_written_no_more_often_than_said(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "SAVED_EVERY", 1000)
    written = []
    monkeypatch.setattr(saved_run, "save_state", lambda *words: written.append(1))
    run(tmp_path, epochs=5)
    assert len(written) == 1


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from lab_utils.training import callbacks
from test_fit import focal, perceptron, run
callbacks.SAVED_EVERY, save = 0, np.savez
def slow_to_write(file, **arrays):
    save(file, **arrays)
    if np.load(file)["optimizer/0000"] > 5:  # steps: the second epoch
        Path(file).write_bytes(Path(file).read_bytes()[:700])
        print("writing", flush=True)
        time.sleep(100)
np.savez = slow_to_write
run(Path(sys.argv[1]), perceptron(loss=focal))
"""


def test_a_killed_process_is_found_by_another_one_and_resumed_with_the_same_bits(tmp_path):
    folders = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": folders, "PYTHONHASHSEED": "5"}
    words = [sys.executable, "-c", CHILD, str(tmp_path / "killed")]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | settings
    )
    undisturbed = run(tmp_path / "straight", perceptron(loss=focal))
    assert "writing" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    lines = []
    trained = run(tmp_path / "killed", perceptron(loss=focal), progress=lines.append)
    assert any("goes on after epoch 1 of 3" in line for line in lines) and equal_runs(trained, undisturbed)


def test_an_interruption_says_where_the_next_run_goes_on(tmp_path, straight):
    lines = []

    def interrupt(line):
        lines.append(line)
        if "epoch 2/" in line:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "SHOWN_EVERY", 0)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, progress=interrupt)
    assert lines[-1] == "  toy: stopped after epoch 2 of 3; the next run goes on after epoch 2."
    assert equal_runs(run(tmp_path), straight)


# ---- checks that stop a run ------------------------------------------------------------------------------------------
def test_a_loss_that_is_not_finite_stops_with_the_step_and_what_to_lower(tmp_path):
    words = r"toy: the cross-entropy is not finite in epoch 1, step 2: lower the learning rate \(1e\+30\)\."
    with pytest.raises(LabError, match=words):
        run(tmp_path, perceptron(rate=1e30, dropout=0.0))
    assert not list(tmp_path.glob("models/*/*.npz"))


def test_first_cross_entropy_far_above_that_of_no_knowledge_is_said_and_beyond_a_tolerance_an_error(tmp_path):
    def wild(n, seed):
        data = vectors(n, seed)
        return Split(data.inputs * 1000, data.labels)

    lines = []
    trained = run(tmp_path, data=wild, epochs=1, progress=lines.append)
    assert "not at ln 3 = 1.099: check the input's range" in lines[0] and trained.first_cross_entropy > 2
    with pytest.raises(LabError, match=r"not at ln 3 = 1\.099 within 0\.5"):
        run(tmp_path / "strict", data=wild, tolerance=0.5)


def test_frozen_weights_that_change_stop_the_run_and_nothing_is_kept(tmp_path):
    import keras

    class Sly(keras.layers.Dense):
        def call(self, x):
            self.bias.assign_add(keras.ops.ones(self.units))
            return super().call(x)

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4), Sly(4, trainable=False), keras.layers.Dense(CLASSES)]
    with pytest.raises(LabError, match="should be frozen have changed"):
        run(tmp_path, compiled(keras.Sequential([keras.Input((6,)), *layers])))
    assert not list(tmp_path.glob("models/*/*.npz"))


@pytest.mark.parametrize("kind", ["memory", "tensorflow"])
def test_out_of_memory_names_batch_and_inputs(tmp_path, monkeypatch, kind):
    import tensorflow as tf

    error = MemoryError() if kind == "memory" else tf.errors.ResourceExhaustedError(None, None, "OOM")

    def fail(*_):
        raise error

    monkeypatch.setattr(callbacks.Training, "_begin_epoch", fail)
    with pytest.raises(LabError, match="toy: out of memory with batches of 8 and inputs of 6: lower the batch"):
        run(tmp_path)


def test_what_cannot_be_trained_is_a_sentence(tmp_path):
    import keras

    inputs = keras.Input((6,))
    uncompiled = keras.Model(inputs, keras.layers.Dense(CLASSES)(inputs))
    frozen = perceptron()
    frozen.trainable = False
    compiled(frozen)
    softmax_end = keras.Model(inputs, keras.layers.Dense(CLASSES, "softmax")(inputs))
    softmax_end.compile("adam", "sparse_categorical_crossentropy")
    small = compiled(keras.Model(inputs, keras.layers.Dense(CLASSES - 1)(inputs)))
    two = compiled(keras.Model(inputs, [keras.layers.Dense(3)(inputs), keras.layers.Dense(3)(inputs)]))
    unbuilt = keras.Sequential([keras.layers.Dense(CLASSES)])
    cases = {
        "isn't compiled": uncompiled,
        "frozen: make one trainable": frozen,
        "loss of probabilities": softmax_end,
        "one logit a class": small,
        "gives 2 tensors": two,
        r"isn't built: begin it with keras\.Input": unbuilt,
    }
    for words, model in cases.items():
        with pytest.raises(LabError, match=words):
            run(tmp_path, model)
    with pytest.raises(LabError, match="epochs is 0; it must be a whole number from 1"):
        run(tmp_path, epochs=0)
    with pytest.raises(LabError, match="no split 'test'; it has train, val"):
        run(tmp_path).logits("test")


def test_nothing_is_printed_or_warned_but_a_line_an_epoch(tmp_path, capfd, recwarn):
    run(tmp_path, skip(), pictures, progress=print)
    out, _ = capfd.readouterr()
    lines = out.splitlines()
    assert all(line.startswith("  epoch ") and " left 0:" in line and line.endswith("  toy") for line in lines)
    assert lines[-1].startswith("  epoch 3/3  accuracy 0.")
    assert not [warning for warning in recwarn if "keras" in str(warning.filename)]
