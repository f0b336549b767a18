import numpy as np
import pytest

from lab_utils.training import checkpoints

GROUPS = {"model": [np.arange(3.0)], "val": [np.zeros(1)]}


@pytest.fixture
def path(tmp_path):
    return checkpoints.write(tmp_path / "state.npz", GROUPS, {"epoch": 4, "best": {"accuracy": 0.5}})


def is_whole(state):
    groups, about = state
    same = groups.keys() == GROUPS.keys() and all(
        len(groups[name]) == len(arrays) and all(map(np.array_equal, groups[name], arrays))
        for name, arrays in GROUPS.items()
    )
    return same and about == {"epoch": 4, "best": {"accuracy": 0.5}}


def test_a_state_comes_back_as_it_was(path):
    assert is_whole(checkpoints.read(path))


def test_no_flipped_bit_gives_a_wrong_state_or_a_traceback(path):
    good = path.read_bytes()
    directory = good.index(b"PK\x01\x02")  # the zip format keeps no checksum of it: all of its bits, else few
    flips = [(at, 1 << (at % 8)) for at in range(0, directory, 5)]
    flips += [(at, 1 << bit) for at in range(directory, len(good)) for bit in range(8)]
    found = 0
    for at, mask in flips:
        path.write_bytes(good[:at] + bytes([good[at] ^ mask]) + good[at + 1 :])
        state = checkpoints.read(path)
        found += state is None
        assert state is None or is_whole(state), (at, mask)
    assert found > len(flips) / 2  # (the rest changed dates and the like)


def test_no_shortened_file_is_taken_for_a_state(path):
    good = path.read_bytes()
    for length in range(0, len(good), 7):
        path.write_bytes(good[:length])
        assert checkpoints.read(path) is None
