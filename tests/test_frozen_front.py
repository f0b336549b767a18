import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.training.frozen_front import Computed, cached

IMAGES = np.random.default_rng(0).integers(0, 255, (10, 4, 4, 3), dtype=np.uint8)


class Counting:
    """Means over places, and how many images were asked for."""

    def __init__(self, dtype="float32"):
        self.seen, self.dtype = 0, np.dtype(dtype)

    def __call__(self, images):
        self.seen += len(images)
        return images.mean((1, 2)).astype(self.dtype)


def run(folder, function, key=None, lines=None, **more):
    return cached(
        IMAGES,
        function,
        key or {"a": 1},
        folder=folder,
        batch=4,
        progress=([] if lines is None else lines).append,
        **more,
    )


def test_activations_are_computed_once_and_shared(tmp_path):
    first, second = Counting(), Counting()
    made = run(tmp_path, first)
    again = run(tmp_path, second)
    assert second.seen == 0 and first.seen == 11  # one image to learn the shape
    np.testing.assert_array_equal(made, IMAGES.mean((1, 2)).astype("float32"))
    np.testing.assert_array_equal(again, made)


def test_bfloat16_comes_back_with_the_same_bits(tmp_path):
    import ml_dtypes

    made = run(tmp_path, Counting(ml_dtypes.bfloat16))
    assert made.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(made, IMAGES.mean((1, 2)).astype(ml_dtypes.bfloat16))


def test_another_key_is_another_cache(tmp_path):
    run(tmp_path, Counting())
    other = Counting()
    run(tmp_path, other, {"a": 2})
    assert other.seen == 11 and len(list(tmp_path.glob("*.npy"))) == 2


@pytest.mark.parametrize("damaged_byte", [-1, 150])
def test_a_damaged_cache_is_found_and_made_again(tmp_path, damaged_byte):
    made = np.array(run(tmp_path, Counting()))
    (path,) = tmp_path.glob("*.npy")
    content = bytearray(path.read_bytes())
    content[damaged_byte] ^= 1
    path.write_bytes(bytes(content))
    function, lines = Counting(), []
    again = run(tmp_path, function, lines=lines)
    assert function.seen == 11 and any("damaged" in line for line in lines)
    np.testing.assert_array_equal(again, made)


def test_the_size_is_said_before_anything_is_stored(tmp_path):
    lines = []

    def function(images):
        if len(images) > 1:
            assert lines and "10 images, 0.0 MB on disk" in lines[0]
        return images.mean((1, 2)).astype("float32")

    run(tmp_path, function, lines=lines)


def test_a_small_disk_is_refused_with_a_sentence_and_activations_come_on_the_fly(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    lines = []
    made = run(tmp_path, Counting(), lines=lines)
    assert isinstance(made, Computed) and made.shape == (10, 3) and not list(tmp_path.iterdir())
    assert "do not fit into the 0.0 MB that are free on the disk; they are computed anew" in lines[0]
    np.testing.assert_allclose(made[np.array([3, 1])], IMAGES[[3, 1]].mean((1, 2)), rtol=1e-6)


def test_a_limit_is_kept(tmp_path):
    lines = []
    assert isinstance(run(tmp_path, Counting(), lines=lines, limit=50), Computed)
    assert "above the limit" in lines[0]


def test_a_disk_that_fills_up_while_writing_leaves_no_half_cache(tmp_path):
    def full(images):
        if len(images) > 1:
            raise OSError(28, "No space left on device")
        return images.mean((1, 2))

    with pytest.raises(LabError, match="space"):
        run(tmp_path, full)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("largest", [1, 4])
def test_memory_that_runs_out_is_a_sentence(tmp_path, largest):
    import tensorflow as tf

    def full(images):
        if len(images) >= largest:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        return images.mean((1, 2))

    with pytest.raises(LabError, match="the frozen part: out of memory with batches of 4 and inputs of 4 × 4 × 3"):
        run(tmp_path, full)


def test_of_two_at_once_the_second_waits_and_reads_what_the_first_stored(tmp_path):
    at_work, may_end, lines = threading.Event(), threading.Event(), []

    def slow(images):
        if len(images) > 1:
            at_work.set()
            may_end.wait(10)
        return Counting()(images)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, tmp_path, slow)
        assert at_work.wait(10)
        other = Counting()
        second = pool.submit(run, tmp_path, other, None, lines)
        end = time.time() + 10
        while not lines and time.time() < end:
            time.sleep(0.01)
        may_end.set()
        np.testing.assert_array_equal(first.result(), second.result())
    assert other.seen == 1 and lines == [f"  process {os.getpid()} makes the activations of the frozen part; waiting"]
