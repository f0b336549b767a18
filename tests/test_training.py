import math
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_training import PLAN, examples, trainer

from lab_utils.core.errors import LabError
from lab_utils.networks.building import building
from lab_utils.stats.metrics import cross_entropy, softmax
from lab_utils.training import checkpoints, frozen_front, loop
from lab_utils.training.loop import fit
from lab_utils.training.plan import Plan


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
        parts.extend(cross_entropy(logits, data.labels[rows]))
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
    logs = np.log(softmax(logits))
    assert got["cross_entropy"] == pytest.approx(-(target * logs).sum(1).mean(), rel=1e-4)


def test_validation_separates_right_and_wrong_confidence():
    logits = np.log(np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]))
    got = loop.validation(logits, np.array([0, 0, 1]))
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


def test_a_run_answers_with_its_own_weights_after_others_were_trained_on_the_same_network(tmp_path):
    fitted, val = run(tmp_path), examples(20, 1)
    logits = fitted.logits(val)
    fitted.trainer.train_epoch(examples(40, 0), PLAN, 0)
    assert np.array_equal(fitted.logits(val), logits)


def test_of_two_at_once_the_second_waits_and_loads_what_the_first_made(tmp_path):
    training_goes_on, may_end, lines = threading.Event(), threading.Event(), []

    def slow(_):
        training_goes_on.set()
        may_end.wait(10)

    one, other = trainer(), trainer()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, tmp_path, made=one, progress=slow)
        assert training_goes_on.wait(20)
        second = pool.submit(run, tmp_path, made=other, progress=lines.append)
        end = time.time() + 10
        while not lines and time.time() < end:
            time.sleep(0.01)
        may_end.set()
        assert not first.result().loaded and second.result().loaded
    assert lines == [f"  network: process {os.getpid()} trains it; waiting"]


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
    labels, probabilities = examples(20, 1).labels, softmax(fitted.val_logits())
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
        patch.setattr(loop._Run, "_tell", lambda self, row: stop_after(epoch)(f"epoch {self.epoch}/"))
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


def test_an_interruption_in_the_middle_of_writing_costs_one_epoch(tmp_path, straight, monkeypatch):
    real, calls = np.savez, []

    def stopped(file, **arrays):
        calls.append(1)
        if len(calls) == 2:
            Path(file).write_bytes(b"half a file")
            raise KeyboardInterrupt
        real(file, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    lines = []
    fitted = run(tmp_path, progress=lines.append)
    assert any("goes on after epoch 1" in line for line in lines) and not list(tmp_path.glob("*/.state*"))
    assert same(weights(fitted, "last"), straight[0])


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from lab_utils.training import loop
from toy_training import PLAN, examples, trainer
tell, save = loop._Run._tell, np.savez
def slow(self, row):
    print("epoch", self.epoch, flush=True)
    time.sleep(30)
    tell(self, row)
def slow_to_write(file, **arrays):
    save(file, **arrays)
    if np.load(file)["optimizer/0000"] > 5:  # steps: the second epoch
        Path(file).write_bytes(Path(file).read_bytes()[:700])
        print("writing", flush=True)
        time.sleep(30)
if sys.argv[2] == "epoch":
    loop._Run._tell = slow
else:
    np.savez = slow_to_write
loop.fit(trainer(), examples(40, 0), examples(20, 1), PLAN, {"data": "toy"}, folder=Path(sys.argv[1]),
             tolerance=None)
"""


def child(folder, pause):
    """Train in another process, which pauses after its first `epoch`, or while `writing` the second checkpoint."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(Path(__file__).parent)}
    words = [sys.executable, "-c", CHILD, str(folder), pause]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def until(process, word):
    for line in process.stdout:
        if line.startswith(word):
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("kind, moment", [(signal.SIGKILL, "writing"), (signal.SIGINT, "epoch")])
def test_a_killed_process_is_resumed_bit_for_bit(tmp_path, straight, kind, moment):
    process = child(tmp_path, moment)
    until(process, moment)
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


def test_frozen_weights_that_change_stop_the_run_however_often_it_is_tried(tmp_path):
    made = trainer(frozen=True)
    for again in (made, made, trainer(frozen=True)):
        with pytest.raises(LabError, match="should be frozen have changed"):
            run(tmp_path, made=again)
        assert not list(tmp_path.glob("*/*.npz"))


def test_a_checkpoint_with_changed_frozen_weights_is_refused_and_removed(tmp_path, monkeypatch):
    interrupted(tmp_path, 3, monkeypatch)  # nothing was said to be frozen
    assert list(tmp_path.glob("*/state*.npz"))
    with pytest.raises(LabError, match="should be frozen have changed"):
        run(tmp_path, made=trainer(frozen=True))
    assert not list(tmp_path.glob("*/*.npz"))


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


def test_out_of_memory_in_answering_is_a_sentence_too(monkeypatch):
    made = trainer()

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(made, "_logits", fail)
    with pytest.raises(LabError, match="out of memory with batches of 64 and inputs of 6"):
        made.logits(examples(20, 1))


def test_weights_of_another_network_are_refused():
    import keras

    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    with pytest.raises(LabError, match="do not fit this network"):
        trainer().assign([np.array(one) for one in other.variables])


def test_a_failed_write_leaves_the_file_before_it(tmp_path):
    path = checkpoints.write(tmp_path / "a.npz", {"x": [np.arange(3)]}, {"epoch": 1})
    before = path.read_bytes()

    class Unwritable:
        shape = (3,)

        def __array__(self, *_, **__):
            raise OSError(28, "No space left on device")

    with pytest.raises(LabError, match="space"):
        checkpoints.write(path, {"x": [Unwritable()]}, {"epoch": 2})
    assert path.read_bytes() == before and checkpoints.read(path)[1] == {"epoch": 1}


# ---- precision ---------------------------------------------------------------------------------------------------
def test_building_puts_the_policy_back():
    import keras

    before = keras.config.dtype_policy().name
    with building("mixed_bfloat16"):
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before


@pytest.mark.parametrize(
    "flags, precision", [("avx512f amx_bf16", "mixed_bfloat16"), ("avx512_bf16", "mixed_bfloat16"), ("avx2", "float32")]
)
def test_processors_with_bfloat16_use_it(monkeypatch, tmp_path, flags, precision):
    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags} sse\n")
    monkeypatch.setattr(loop, "Path", lambda _: tmp_path / "cpuinfo")
    monkeypatch.setattr(loop, "on_graphics_card", lambda: False)
    assert loop.best_precision() == precision


@pytest.mark.parametrize(
    "capability, precision", [((8, 6), "mixed_bfloat16"), ((7, 5), "mixed_float16"), ((6, 1), "float32")]
)
def test_graphics_cards_use_the_half_precision_that_they_have(monkeypatch, capability, precision):
    import tensorflow as tf

    monkeypatch.setattr(loop, "on_graphics_card", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["card"])
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda card: {"compute_capability": capability} if card else {}
    )
    assert loop.best_precision() == precision


def test_training_reads_bfloat16_from_a_memory_map(tmp_path):
    import keras
    import ml_dtypes

    data = examples(16, 0)
    stored = frozen_front.cached(
        data.inputs, lambda rows: rows.astype(ml_dtypes.bfloat16), {}, folder=tmp_path, progress=lambda line: None
    )
    assert isinstance(stored, np.memmap) and stored.dtype == ml_dtypes.bfloat16
    with building("mixed_bfloat16"):
        layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3, dtype="float32")]
        made = loop.Trainer(
            keras.Sequential([keras.Input((6,)), *layers]), precision="mixed_bfloat16", input_dtype="bfloat16"
        )
    plan = replace(PLAN, batch=16, epochs=12)
    losses = [made.train_epoch(loop.Examples(stored, data.labels), plan, i)["cross_entropy"] for i in range(12)]
    assert losses[-1] < 0.9 * losses[0]


def test_epoch_line_has_what_the_runner_forwards(tmp_path):
    lines = []
    run(tmp_path, progress=lines.append)
    assert lines[-1].startswith("  epoch 3/3  accuracy 0.") and " val 0." in lines[-1] and "left 0:00" in lines[-1]
