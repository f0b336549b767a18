"""EfficientNet-Lite: the port against the original's logits, the strict reader against the format and bad files."""

import codecs
import io
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.networks import backbones, efficientnet_lite

REFERENCE = Path(__file__).parent / "data" / "lite_reference.npz"
FILES = {name: backbones._lite_file(backbones.backbone(name)) for name in ("lite0", "lite1", "lite2")}


def network(variant, top=True):
    import keras

    return efficientnet_lite.network(variant, keras.Input((32, 32, 3)), top)


def waves(height: int, width: int) -> np.ndarray:
    """The fixed pattern that the reference was computed on, about -1 to 1."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    pattern = np.sin(0.05 * (c + 1) * x) * np.cos(0.03 * (c + 2) * y) + 0.3 * np.sin(0.7 * x + 0.9 * y * (c + 1))
    return (pattern / 1.4).astype(np.float32)


@pytest.mark.parametrize("name", FILES)
def test_logits_agree_with_the_original_implementation_at_square_and_other_sizes(name):
    model = backbones.build(name, size=(None, None))
    for key, expected in np.load(REFERENCE).items():
        if key.startswith(name):
            height, width = map(int, key.split("_")[1].split("x"))
            assert np.abs(model(waves(height, width)[None]).numpy()[0] - expected).max() < 1e-4


def raw_state(names: list[tuple[str, str, tuple, tuple, int]], length: int) -> bytes:
    """Opcodes of an object pickle that rebuilds tensors from one storage, as torch writes them (protocol 2)."""
    body = b"\x80\x02ccollections\nOrderedDict\n)R("
    for name, kind, shape, strides, offset in names:
        body += b"X" + len(name).to_bytes(4, "little") + name.encode()
        body += b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n" + kind.encode() + b"\n"
        body += b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ" + length.to_bytes(4, "little") + b"NtQJ"
        body += offset.to_bytes(4, "little", signed=True) + _numbers(shape) + _numbers(strides)
        body += b"\x89ccollections\nOrderedDict\n)RtR"
    return body + b"u."


def _numbers(values: tuple) -> bytes:
    return b"(" + b"".join(b"J" + v.to_bytes(4, "little", signed=True) for v in values) + b"t"


def small_file(path: Path, state: bytes, values: np.ndarray, claimed: int | None = None) -> Path:
    head = b"".join(
        pickle.dumps(part, protocol=2)
        for part in (efficientnet_lite.MAGIC, efficientnet_lite.PROTOCOL, {"little_endian": True})
    )
    length = (len(values) if claimed is None else claimed).to_bytes(8, "little")
    path.write_bytes(head + state + pickle.dumps(["0"], protocol=2) + length + values.tobytes())
    return path


def test_a_tensor_is_read_with_its_strides_and_offset(tmp_path):
    values = np.arange(8, dtype="<f4")
    state = raw_state([("w", "FloatStorage", (2, 3), (1, 2), 1)], 8)
    weights = efficientnet_lite.read_state(small_file(tmp_path / "a.pth", state, values))
    assert weights["w"].tolist() == [[1, 3, 5], [2, 4, 6]]  # element (i, j) is value 1 + i + 2 j


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    state = raw_state([("w", "FloatStorage", (4, 3), (3, 1), 0)], 8)
    with pytest.raises(LabError, match="beyond its storage"):
        efficientnet_lite.read_state(small_file(tmp_path / "a.pth", state, np.zeros(8, "<f4")))


@pytest.mark.parametrize(
    "shape, strides, offset",
    [((2, 2), (-5, 5), 0), ((2,), (1,), -3), ((0,), (1,), 0), ((), (), 8), ((5,), (2**31 - 1,), 0), ((9,), (0,), 0)],
)
def test_a_tensor_that_is_not_a_part_of_its_storage_is_refused(tmp_path, shape, strides, offset):
    state = raw_state([("w", "FloatStorage", shape, strides, offset)], 8)
    with pytest.raises(LabError, match="beyond its storage"):
        efficientnet_lite.read_state(small_file(tmp_path / "a.pth", state, np.zeros(8, "<f4")))


def test_weights_of_a_network_that_has_more_than_lite_are_refused():
    state = efficientnet_lite.read_state(FILES["lite0"])
    state["_blocks.0._se_reduce.weight"] = np.zeros((8, 32, 1, 1), np.float32)  # EfficientNet-B0's squeeze-excitation
    with pytest.raises(LabError, match=r"another network than lite0 \(_blocks.0._se_reduce.weight has no place"):
        efficientnet_lite.assign(network("lite0"), state)


def test_a_network_without_its_top_takes_the_same_weights():
    state = efficientnet_lite.read_state(FILES["lite0"])
    whole, base = (network("lite0", top) for top in (True, False))
    for model in (whole, base):
        efficientnet_lite.assign(model, state)
    values = [model.get_layer("top_conv").get_weights()[0] for model in (whole, base)]
    assert np.array_equal(*values)


def test_a_storage_whose_length_disagrees_is_refused(tmp_path):
    state = raw_state([("w", "FloatStorage", (8,), (1,), 0)], 8)
    with pytest.raises(LabError, match="not whole"):
        efficientnet_lite.read_state(small_file(tmp_path / "a.pth", state, np.zeros(8, "<f4"), claimed=9))


@pytest.mark.parametrize("module, name", [("os", "system"), ("builtins", "eval"), ("torch", "load")])
def test_a_pickle_that_names_a_class_outside_the_whitelist_is_refused(tmp_path, module, name):
    harm = f"\x80\x02c{module}\n{name}\n(X\x04\x00\x00\x00ruintR.".encode("latin1")
    path = small_file(tmp_path / "bad.pth", harm, np.zeros(1, "<f4"))
    with pytest.raises(LabError, match=rf"names {module}\.{name}.*refused"):
        efficientnet_lite.read_state(path)


def test_even_the_header_can_not_name_a_class(tmp_path):
    path = tmp_path / "bad.pth"
    path.write_bytes(b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.")
    with pytest.raises(LabError, match=r"names os\.system"):
        efficientnet_lite.read_state(path)


HARMFUL = {  # pickle of the state: what is said
    "a key nested deeply, which crashes Python's unpickler": (b"})" + b"\x85" * 200_000 + b"K\x01s.", "not built as"),
    "a memo of 32 GB": (b"}r\xff\xff\xff\x7f.", "weight file"),
    "a class by a later protocol": (b"\x8c\x02os\x8c\x06system\x93.", "operation SHORT_BINUNICODE"),
    "a class of the registry of extensions": (b"\x82\x01.", "operation EXT1"),
    "an instance": (b"(ios\nsystem\n.", "operation INST"),
    "a new object": (b"ccollections\nOrderedDict\n)\x81.", "operation NEWOBJ"),
    "a text of 4 GB": (b"X\xff\xff\xff\xff.", "truncated or no weight file"),
    "a call of text": (b"X\x04\0\0\0evil)R.", "truncated or no weight file"),
    "attributes of what is called": (b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\0\0\0aK\1sb.", "not built as"),
    "values of an empty stack": (b"\x87.", "truncated or no weight file"),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_pickle_is_refused_or_does_nothing(tmp_path, name):
    state, words = HARMFUL[name]
    path = small_file(tmp_path / "bad.pth", b"\x80\x02" + state, np.ones(1, "<f4"))
    with pytest.raises(LabError, match=words):
        efficientnet_lite.read_state(path)


def four_tensors(path: Path) -> bytes:
    """A whole small file: tensors of two types, with offsets and strides, some sharing a storage."""
    names = [("a.weight", "FloatStorage", (2, 3), (3, 1), 0), ("a.bias", "FloatStorage", (4,), (1,), 8)]
    names += [("b.weight", "FloatStorage", (2, 2, 2), (1, 2, 4), 4), ("c", "FloatStorage", (), (), 11)]
    values = np.random.default_rng(1).integers(1, 2**31, 12).astype("<u4").view("<f4")
    return small_file(path, raw_state(names, 12), values).read_bytes()


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one to four places: a bit, a byte, an extreme number, a piece left out, doubled or moved."""
    content = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, size = int(rng.integers(len(content))), int(rng.integers(1, 12))
        match rng.integers(6):
            case 0:
                content[at] ^= 1 << int(rng.integers(8))
            case 1:
                content[at] = int(rng.integers(256))
            case 2:
                content[at : at + size] = bytes([int(rng.choice([0, 127, 128, 255]))]) * size
            case 3:
                del content[at : at + size]
            case 4:
                content[at:at] = content[at : at + size]
            case 5:
                start = int(rng.integers(len(content)))
                content[at:at] = content[start : start + size]
        if not content:
            return b""
    return bytes(content)


WATCHED = {"on": False, "events": []}
HARMLESS = {"open", "object.__getattr__", "object.__setattr__", "object.__delattr__"}


def watch(event: str, arguments: tuple) -> None:
    if WATCHED["on"] and event not in HARMLESS:
        WATCHED["events"].append((event, arguments))


def test_ten_thousand_mutations_never_run_anything_nor_read_beyond_the_file(tmp_path):
    """Every number that is read stands in the file, no result is larger than it, and nothing is imported or run."""
    original = four_tensors(tmp_path / "whole.pth")
    whole = efficientnet_lite.read_state(tmp_path / "whole.pth")
    assert [array.size for array in whole.values()] == [6, 4, 8, 1]
    codecs.lookup("raw_unicode_escape")  # Python imports a codec when it is first used
    sys.addaudithook(watch)
    rng, read = np.random.default_rng(0), 0
    for _ in range(10_000):
        data = mutated(original, rng)
        WATCHED["on"] = True
        try:
            state = efficientnet_lite._read(io.BytesIO(data))
        except (LabError, *efficientnet_lite.BROKEN):
            continue
        finally:
            WATCHED["on"] = False
        read += 1
        for array in state.values():
            assert array.nbytes <= len(data) and array.dtype in (np.dtype("<f4"), np.dtype("<i8"))
            assert all(number.tobytes() in data for number in array.ravel())
    assert WATCHED["events"] == [] and 100 < read < 9_900


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_truncated_weights_are_one_sentence(tmp_path, share):
    whole = FILES["lite0"].read_bytes()
    path = tmp_path / "weights.pth"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(LabError, match=r"weights\.pth is truncated or no weight file .* fetch it again\.$"):
        efficientnet_lite.read_state(path)


def test_changed_weights_do_not_match_the_hash_in_their_name(tmp_path):
    content = bytearray(FILES["lite0"].read_bytes())
    content[-1] ^= 1
    path = tmp_path / FILES["lite0"].name
    path.write_bytes(content)
    with pytest.raises(LabError, match="was changed"):
        efficientnet_lite.read_state(path)


@pytest.mark.parametrize("other", ["lite1", "lite2"])
def test_weights_of_another_network_are_refused(other):
    model = network("lite1" if other == "lite2" else "lite0")
    with pytest.raises(LabError, match="another network than"):
        efficientnet_lite.assign(model, efficientnet_lite.read_state(FILES[other]))


def test_a_head_of_another_number_of_classes_is_refused():
    state = efficientnet_lite.read_state(FILES["lite0"]) | {
        "_fc.weight": np.zeros((29, 1280)),
        "_fc.bias": np.zeros(29),
    }
    with pytest.raises(LabError, match="head of 29 classes where 1,000"):
        efficientnet_lite.assign(network("lite0"), state)


def test_the_reader_gives_plain_arrays_for_every_parameter():
    state = efficientnet_lite.read_state(FILES["lite0"])
    assert type(state) is dict
    numbers = sum(array.size for name, array in state.items() if not name.endswith("num_batches_tracked"))
    assert numbers == 3_413_024 + 1_281_000
    assert all(np.isfinite(array).all() for array in state.values())


def test_filters_are_rounded_as_published():
    # EfficientNet-B2 (width 1.1): 32 16 24 48 88 120 208 352 (Tan and Le 2019)
    assert [efficientnet_lite.scaled_filters(n, 1.1) for n in (32, 16, 24, 40, 80, 112, 192, 320)] == [
        32,
        16,
        24,
        48,
        88,
        120,
        208,
        352,
    ]
