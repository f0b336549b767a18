import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_training import PLAN, examples, trainer

from lab_utils import checkpoints, training
from lab_utils.errors import LabError
from lab_utils.training import Plan, fit


def run(folder, plan=PLAN, made=None, identity=None, progress=lambda line: None, **more):
    return fit(
        made or trainer(),
        examples(40, 0),
        examples(20, 1),
        plan,
        identity or {"data": "toy"},
        folder=folder,
        tolerance=None,
        progress=progress,
        **more,
    )


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that nothing disturbed, with its last weights and history."""
    fitted = run(tmp_path_factory.mktemp("straight"))
    return weights(fitted, "last"), weights(fitted, "best"), fitted.history.drop(columns="seconds")


def weights(fitted, which):
    fitted.use(which)
    return fitted.trainer.state()[0]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


# ---- the loop against Keras --------------------------------------------------------------------------------------
def test_the_loop_does_what_keras_train_on_batch_does():
    import keras

    ours, theirs = trainer(dropout=0.0, l2=0.05), trainer(dropout=0.0, l2=0.05).model
    ours.restart(3)
    theirs.set_weights(ours.model.get_weights())
    theirs.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = examples(16, 0)
    got = ours.train_epoch(data, replace(PLAN, batch=16, epochs=1), 0)
    order = np.random.default_rng([1, 0]).permutation(16)
    expected = theirs.train_on_batch(data.inputs[order], data.labels[order])
    assert got["cross_entropy"] + got["penalty"] == pytest.approx(float(expected), rel=1e-5)
    for mine, other in zip(ours.model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_penalty_and_cross_entropy_are_logged_apart():
    made = trainer(l2=0.5)
    made.restart(0)
    kernel = np.array(made.model.layers[0].kernel)
    got = made.train_epoch(examples(8, 0), replace(PLAN, batch=8, epochs=1), 0)
    assert got["penalty"] == pytest.approx(0.5 * (kernel**2).sum(), rel=1e-5)


def test_mean_loss_weighs_a_short_last_batch_by_its_images():
    made = trainer(dropout=0.0)
    made.restart(0)
    data = examples(10, 0)
    whole = made.train_epoch(data, replace(PLAN, learning_rate=0.0, batch=10), 0)
    made.restart(0)
    first, second = np.random.default_rng([1, 0]).permutation(10)[:8], np.random.default_rng([1, 0]).permutation(10)[8:]
    parts = []
    for rows in (first, second):
        logits = made.model(data.inputs[rows], training=True).numpy()
        parts.extend(training.losses_of(logits, data.labels[rows]))
    made.restart(0)
    got = made.train_epoch(data, replace(PLAN, learning_rate=0.0, batch=8), 0)
    assert got["cross_entropy"] == pytest.approx(np.mean(parts), rel=1e-5)
    assert whole["cross_entropy"] != got["cross_entropy"]  # BatchNorm sees other batches


def test_cosine_schedule_rises_and_falls_to_almost_zero():
    plan = Plan(learning_rate=1.0, batch=1, epochs=1, schedule="cosine", warmup=0.2)
    rates = [plan.rate(step, 10) for step in range(10)]
    assert rates[0] == pytest.approx(1 / 3) and rates[1] == pytest.approx(2 / 3) and rates[2] == pytest.approx(1.0)
    assert rates[6] == pytest.approx(0.5) and np.all(np.diff(rates[2:]) < 0) and rates[-1] < 0.05


def test_label_smoothing_spreads_the_target():
    made = trainer(dropout=0.0)
    made.restart(0)
    data = examples(8, 0)
    logits = made.model(data.inputs, training=True).numpy()
    made.restart(0)
    got = made.train_epoch(data, replace(PLAN, batch=8, epochs=1, label_smoothing=0.3), 0)
    target = np.eye(3)[data.labels] * 0.7 + 0.1
    logs = np.log(training.softmax(logits))
    assert got["cross_entropy"] == pytest.approx(-(target * logs).sum(1).mean(), rel=1e-4)


def test_validation_separates_right_and_wrong_confidence():
    logits = np.log(np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]))
    got = training.validation(logits, np.array([0, 0, 1]))
    assert got["val_accuracy"] == pytest.approx(2 / 3)
    assert got["val_confidence_right"] == pytest.approx(0.8)
    assert got["val_confidence_wrong"] == pytest.approx(0.6)
    assert got["val_cross_entropy"] == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.7)) / 3)


# ---- load or train, seeds ----------------------------------------------------------------------------------------
def test_a_finished_run_is_loaded_and_gives_the_same_logits(tmp_path, straight):
    first = run(tmp_path)
    logits = first.logits(examples(20, 1))
    again = run(tmp_path)
    assert not first.loaded and again.loaded
    assert np.array_equal(again.logits(examples(20, 1)), logits)
    assert same(weights(again, "last"), straight[0])


def test_one_trainer_serves_two_runs_and_each_keeps_its_weights(tmp_path, straight):
    made = trainer()
    other = run(tmp_path, replace(PLAN, seed=7), made)
    first = run(tmp_path, PLAN, made)
    assert same(weights(first, "last"), straight[0])  # what ran before on the same steps leaves no trace
    assert not same(weights(other, "last"), weights(first, "last"))


def test_history_has_one_row_an_epoch_and_names_the_best_epoch(straight):
    history = straight[2]
    assert list(history["epoch"]) == [1, 2, 3]
    assert {"accuracy", "cross_entropy", "penalty", "val_accuracy", "val_cross_entropy", "clean_accuracy"} <= set(
        history
    )


def test_best_epoch_is_that_of_the_highest_val_accuracy(tmp_path):
    fitted = run(tmp_path, replace(PLAN, epochs=6))
    history = fitted.history
    best = history.loc[fitted.best_epoch - 1, "val_accuracy"]
    assert best == history["val_accuracy"].max()
    labels, probabilities = examples(20, 1).labels, fitted.val_probabilities()
    assert probabilities.shape == (6, 20, 3)
    assert (probabilities.argmax(2) == labels).mean(1) == pytest.approx(history["val_accuracy"].to_numpy())
    assert (fitted.logits(examples(20, 1), "best").argmax(1) == labels).mean() == best


def test_a_changed_plan_or_identity_never_meets_old_checkpoints(tmp_path):
    run(tmp_path)
    run(tmp_path, replace(PLAN, learning_rate=0.02))
    run(tmp_path, identity={"data": "other"})
    assert len(list(tmp_path.iterdir())) == 3


# ---- stopped and damaged -----------------------------------------------------------------------------------------
class StopError(Exception):
    pass


def stop_after(epoch):
    def progress(line):
        if f"epoch {epoch}/" in line:
            raise StopError

    return progress


def interrupted(folder, epoch, monkeypatch):
    """Stop a run right after the checkpoint of `epoch`."""
    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "_tell", lambda self, row: stop_after(epoch)(f"epoch {self.epoch}/"))
        with pytest.raises(StopError):
            run(folder)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_stopped_run_goes_on_and_ends_with_the_same_bits(tmp_path, straight, monkeypatch, epoch):
    interrupted(tmp_path, epoch, monkeypatch)
    lines = []
    fitted = run(tmp_path, progress=lines.append)
    assert any(f"goes on after epoch {epoch} of 3" in line for line in lines)
    assert same(weights(fitted, "last"), straight[0]) and same(weights(fitted, "best"), straight[1])
    assert fitted.history.drop(columns="seconds").equals(straight[2])
    assert not list(tmp_path.glob("*/state*"))


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, straight, monkeypatch):
    interrupted(tmp_path, 2, monkeypatch)
    (newest,) = tmp_path.glob("*/state.npz")
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes(bytes(content))
    lines = []
    fitted = run(tmp_path, progress=lines.append)
    assert any("damaged" in line for line in lines) and any("goes on after epoch 1" in line for line in lines)
    assert same(weights(fitted, "last"), straight[0])


def test_a_truncated_result_is_trained_again(tmp_path, straight):
    run(tmp_path)
    (model,) = tmp_path.glob("*/model.npz")
    model.write_bytes(model.read_bytes()[:1000])
    again = run(tmp_path)
    assert not again.loaded and same(weights(again, "last"), straight[0])


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
    fitted = run(tmp_path, progress=lines.append)
    assert any("goes on after epoch 1" in line for line in lines)
    assert same(weights(fitted, "last"), straight[0])


CHILD = """
import sys, time
from pathlib import Path
from lab_utils import training
from toy_training import PLAN, examples, trainer
tell = training._Run._tell
def slow(self, row):
    print("epoch", self.epoch, flush=True)
    time.sleep(float(sys.argv[2]))
    tell(self, row)
training._Run._tell = slow
training.fit(trainer(), examples(40, 0), examples(20, 1), PLAN, {"data": "toy"}, folder=Path(sys.argv[1]),
             tolerance=None)
"""


def child(folder, pause):
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(Path(__file__).parent)}
    words = [sys.executable, "-c", CHILD, str(folder), str(pause)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def until(process, word):
    for line in process.stdout:
        if line.startswith(word):
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_is_resumed_bit_for_bit(tmp_path, straight, kind):
    process = child(tmp_path, 30)
    until(process, "epoch 1")
    began = time.time()
    process.send_signal(kind)
    out, _ = process.communicate(timeout=20)
    assert process.returncode != 0 and time.time() - began < 10
    if kind == signal.SIGINT:
        assert "the next run goes on from there" in out
    fitted = run(tmp_path)
    assert not fitted.loaded and list(fitted.history["epoch"]) == [1, 2, 3]
    assert same(weights(fitted, "last"), straight[0]) and same(weights(fitted, "best"), straight[1])


# ---- checks that stop a run --------------------------------------------------------------------------------------
def test_a_loss_that_is_not_finite_stops_with_the_step_and_what_to_lower(tmp_path):
    with pytest.raises(LabError, match=r"cross-entropy is not finite in epoch 1, step 2: lower the learning rate"):
        run(tmp_path, replace(PLAN, learning_rate=math.inf))


def test_first_cross_entropy_must_be_near_the_logarithm_of_the_classes(tmp_path):
    wild = examples(20, 1)
    wild.inputs *= 1000
    with pytest.raises(LabError, match=r"not at ln 3 = 1\.099"):
        fit(trainer(), examples(40, 0), wild, PLAN, {}, folder=tmp_path, tolerance=0.5)


def test_frozen_weights_that_change_stop_the_run(tmp_path):
    made = trainer()
    made.frozen = made.model.layers[0].trainable_variables  # said to be frozen, and trained all the same
    with pytest.raises(LabError, match="should be frozen have changed"):
        run(tmp_path, made=made)
    assert not list(tmp_path.glob("*/model.npz"))


@pytest.mark.parametrize("kind", ["memory", "tensorflow"])
def test_out_of_memory_names_batch_and_size(tmp_path, monkeypatch, kind):
    import tensorflow as tf

    error = MemoryError() if kind == "memory" else tf.errors.ResourceExhaustedError(None, None, "OOM")

    def fail(*_):
        raise error

    made = trainer()
    monkeypatch.setattr(made, "train_epoch", fail)
    with pytest.raises(LabError, match="out of memory with batches of 8 and inputs of 6: lower the batch"):
        run(tmp_path, made=made)


def test_weights_of_another_network_are_refused():
    import keras

    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    with pytest.raises(LabError, match="do not fit this network"):
        trainer().assign([np.array(one) for one in other.variables])


def test_a_failed_write_leaves_the_file_before_it(tmp_path):
    path = checkpoints.write(tmp_path / "a.npz", {"x": [np.arange(3)]}, {"epoch": 1})
    before = path.read_bytes()

    class Unwritable:
        def __array__(self, *_, **__):
            raise OSError(28, "No space left on device")

    with pytest.raises(LabError, match="space"):
        checkpoints.write(path, {"x": [Unwritable()]}, {"epoch": 2})
    assert path.read_bytes() == before and checkpoints.read(path)[1] == {"epoch": 1}


# ---- precision ---------------------------------------------------------------------------------------------------
def test_building_puts_the_policy_back():
    import keras

    before = keras.config.dtype_policy().name
    with training.building("mixed_bfloat16"):
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before


def test_precision_is_one_that_keras_knows():
    import keras

    assert keras.DTypePolicy(training.best_precision()).variable_dtype == "float32"


def test_epoch_line_has_what_the_runner_forwards(tmp_path):
    lines = []
    run(tmp_path, progress=lines.append)
    assert lines[-1].startswith("  epoch 3/3  accuracy 0.") and " val 0." in lines[-1] and "left 0:00" in lines[-1]
