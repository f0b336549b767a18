"""Downloads against a local server that can break off, refuse, change its mind and ignore ranges."""

import contextlib
import hashlib
import http.server
import io
import struct
import threading
import zipfile
from email.utils import formatdate

import pytest

from lab_utils.core.errors import LabError
from lab_utils.data import download

CONTENT = bytes(range(256)) * 4000 + b"PK\5\6" + bytes(18)  # ends as a zip archive does


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the server's `plan`: ranges (bool), cuts (bytes to break after), status, etag, content."""

    def do_GET(self):
        plan = self.server.plan
        plan["asked"].append(self.headers.get("Range"))
        if plan["status"] != 200:
            self.send_error(plan["status"])
            return
        start, content = 0, plan["content"]
        wanted, same = self.headers.get("Range"), self.headers.get("If-Range") == plan["etag"]
        if wanted and same and plan["ranges"]:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", plan["etag"])
        self.send_header("Last-Modified", formatdate(0, usegmt=True))
        self.end_headers()
        stop = plan["cuts"].pop(0) if plan["cuts"] else len(content)
        with contextlib.suppress(OSError):
            self.wfile.write(content[start : start + stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as local:
        local.plan = {"ranges": True, "cuts": [], "status": 200, "etag": '"one"', "content": CONTENT, "asked": []}
        local.url = f"http://127.0.0.1:{local.server_port}/file.zip"
        threading.Thread(target=local.serve_forever, daemon=True).start()
        yield local
        local.shutdown()


def quiet(_):
    pass


def test_a_file_arrives_whole_and_is_not_fetched_twice(server, tmp_path):
    lines = []
    path = download.fetch(server.url, tmp_path / "file.zip", hashlib.md5(CONTENT).hexdigest(), lines.append)
    assert path.read_bytes() == CONTENT and "1.0 MB" in lines[0]
    assert [item.name for item in tmp_path.iterdir()] == ["file.zip"]
    download.fetch(server.url, path, progress=quiet)
    assert len(server.plan["asked"]) == 1


def test_a_broken_connection_is_resumed_where_it_broke(server, tmp_path):
    server.plan["cuts"] = [300_000, 100_000]
    path = download.fetch(server.url, tmp_path / "file.zip", progress=quiet)
    assert path.read_bytes() == CONTENT
    assert server.plan["asked"] == [None, "bytes=300000-", "bytes=400000-"]


def test_a_later_start_goes_on_where_the_last_one_stopped(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    server.plan["cuts"] = [300_000]
    with pytest.raises(LabError, match=r"300.0 kB are kept and the next start goes on from there"):
        download.fetch(server.url, tmp_path / "file.zip", progress=quiet)
    assert not (tmp_path / "file.zip").exists()
    assert download.fetch(server.url, tmp_path / "file.zip", progress=quiet).read_bytes() == CONTENT
    assert server.plan["asked"][-1] == "bytes=300000-"


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    server.plan |= {"ranges": False, "cuts": [300_000]}
    assert download.fetch(server.url, tmp_path / "file.zip", progress=quiet).read_bytes() == CONTENT


def test_another_file_at_the_address_is_not_appended_to_the_old_part(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    server.plan["cuts"] = [300_000]
    with pytest.raises(LabError):
        download.fetch(server.url, tmp_path / "file.zip", progress=quiet)
    other = b"other" + CONTENT[5:]
    server.plan |= {"content": other, "etag": '"two"'}
    assert download.fetch(server.url, tmp_path / "file.zip", progress=quiet).read_bytes() == other


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "file.zip.part.json").write_text('{"version": "\\"one\\""}')
    assert download.fetch(server.url, tmp_path / "file.zip", progress=quiet).read_bytes() == CONTENT


def test_a_wrong_published_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(LabError, match=r"file.zip has the checksum .* not the published one, 123"):
        download.fetch(server.url, tmp_path / "file.zip", "123", quiet)
    assert list(tmp_path.iterdir()) == []


def test_without_a_published_checksum_the_first_one_is_recorded_and_compared(server, tmp_path):
    path = download.fetch(server.url, tmp_path / "file.zip", progress=quiet)
    assert hashlib.sha256(CONTENT).hexdigest() in (tmp_path / "checksums.json").read_text()
    path.unlink()
    server.plan |= {"content": b"other", "etag": '"two"'}
    with pytest.raises(LabError, match="not that of the first download"):
        download.fetch(server.url, path, progress=quiet)


@pytest.mark.parametrize("status, words", [(404, "404 Not Found"), (403, "403 Forbidden"), (503, "503 Service")])
def test_a_refusal_is_one_sentence(server, tmp_path, status, words):
    server.plan["status"] = status
    with pytest.raises(LabError, match=words) as caught:
        download.fetch(server.url, tmp_path / "file.zip", progress=quiet)
    assert "--data DIR" in str(caught.value) and len(server.plan["asked"]) == (1 if status < 500 else download.TRIES)


def test_no_network_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0)
    with pytest.raises(LabError, match=r"file.zip can't be downloaded from http://127.0.0.1:9/"):
        download.fetch("http://127.0.0.1:9/file.zip", tmp_path / "file.zip", progress=quiet)


def test_too_little_space_is_told_before_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(LabError, match=r"file.zip needs 1.0 MB and .* has 1.0 kB free"):
        download.fetch(server.url, tmp_path / "file.zip", progress=quiet)


# ---- archives -------------------------------------------------------------------------------------------------------
def zipped(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def test_an_archive_is_unpacked_whole(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"data_256/1.jpg": "one", "data_256/2.jpg": "two"}))
    folder = download.extract(tmp_path / "a.zip", tmp_path / "a", quiet)
    assert (folder / "data_256" / "2.jpg").read_text() == "two"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "a.zip"]


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "data/../../evil.txt", "C:/evil.txt"])
def test_a_member_that_leaves_the_folder_is_refused(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(zipped({"good.txt": "", name: "evil"}))
    with pytest.raises(LabError, match="would be written outside"):
        download.extract(tmp_path / "a.zip", tmp_path / "a", quiet)
    assert [item.name for item in tmp_path.iterdir()] == ["a.zip"]


def test_a_link_in_an_archive_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    (tmp_path / "a.zip").write_bytes(zipped({link: "/etc"}))
    with pytest.raises(LabError, match="would be written outside"):
        download.extract(tmp_path / "a.zip", tmp_path / "a", quiet)


STORED, DEFLATED = zipped({"1.txt": "x" * 1000}), zipped({"1.txt": "xyz" * 1000}, zipfile.ZIP_DEFLATED)
LYING = DEFLATED.replace(struct.pack("<I", 3000), struct.pack("<I", 30))  # holds more than it says
BOMBS = {
    "one member of zeros": zipped({"1.txt": bytes(2_000_000)}, zipfile.ZIP_DEFLATED),
    "a size that is claimed": DEFLATED.replace(struct.pack("<I", 3000), struct.pack("<I", 2**31)),
}
BAD_ARCHIVES = (
    {  # content: true reason
        "text": (b"no zip", "is damaged"),
        "nothing": (b"", "is damaged"),
        "changed bytes": (STORED.replace(b"x" * 10, b"y" * 10), "is damaged"),
        "cut": (DEFLATED[:60], "is damaged"),
        "broken compression": (DEFLATED[:42] + bytes([255] * 8) + DEFLATED[50:], "is damaged"),
        "a size that lies": (LYING, "is damaged"),
        "a password": (STORED.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"), "encrypted"),
        "an unknown compression": (DEFLATED.replace(b"\x14\0\0\0\x08\0", b"\x14\0\0\0\x63\0"), "can't be unpacked"),
        "a file twice": (zipped({zipfile.ZipInfo("a"): "1", zipfile.ZipInfo("a/"): ""}), "holds a file twice"),
        "a file as a folder": (zipped({"a": "1", "a/b": "2"}), "can't be unpacked"),
    }
    | {name: (data, "a decompression bomb") for name, data in BOMBS.items()}
)


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_a_bad_archive_is_one_sentence_and_leaves_no_folder(tmp_path, name):
    data, words = BAD_ARCHIVES[name]
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(LabError, match=words):
        download.extract(tmp_path / "a.zip", tmp_path / "a", quiet)
    assert [item.name for item in tmp_path.iterdir()] == ["a.zip"]


def test_overlapping_members_that_multiply_their_content_are_a_bomb(tmp_path):
    """As Fifield's: many entries of the directory share the same compressed bytes."""
    single = zipped({"1": bytes(1_000_000)}, zipfile.ZIP_DEFLATED)
    start, last = single.index(b"PK\1\2"), single.index(b"PK\5\6")
    local, entry, end = single[:start], single[start:last], single[last:]
    entries = b"".join(entry[:-1] + bytes([97 + number]) for number in range(25))
    end = end[:8] + struct.pack("<HHII", 25, 25, len(entries), start) + end[20:]
    (tmp_path / "a.zip").write_bytes(local + entries + end)
    with pytest.raises(LabError, match=r"claims to hold 25 files of 25.0 MB \(a decompression bomb\?\)"):
        download.extract(tmp_path / "a.zip", tmp_path / "a", quiet)


def test_an_archive_of_tables_is_no_bomb(tmp_path):
    rows = "\n".join(f"{number}.jpg,Bronze,Met,59.533.{number},train,640,320,204800,2.0" for number in range(30_000))
    (tmp_path / "a.zip").write_bytes(zipped({"MAMe_dataset.csv": rows}, zipfile.ZIP_DEFLATED))
    assert (download.extract(tmp_path / "a.zip", tmp_path / "a", quiet) / "MAMe_dataset.csv").read_text() == rows


def test_what_another_process_unpacked_meanwhile_is_kept(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(STORED)
    real = zipfile.ZipFile.extractall

    def slow(self, target):
        real(self, target)
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "1.txt").write_text("theirs")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", slow)
    assert (download.extract(tmp_path / "a.zip", tmp_path / "a", quiet) / "1.txt").read_text() == "theirs"


def test_a_log_in_page_is_not_taken_for_an_archive(server, tmp_path):
    server.plan["content"] = b"<html>Please log in</html>"
    with pytest.raises(LabError, match="sent no zip archive"):
        download.fetch(server.url, tmp_path / "file.zip", progress=quiet)
    assert list(tmp_path.iterdir()) == []
    server.plan |= {"content": STORED, "etag": '"two"'}
    assert download.fetch(server.url, tmp_path / "file.zip", progress=quiet).read_bytes() == STORED


def test_mame_is_put_together_from_its_archives_once(server, tmp_path, monkeypatch):
    served = {
        "MAMe_metadata.zip": zipped({"MAMe_metadata/MAMe_dataset.csv": "a", "MAMe_metadata/MAMe_labels.csv": "b"}),
        "MAMe_data_256.zip": zipped({"data_256/1.jpg": "image"}),
    }
    fetched = []

    def fetch(url, path, md5, progress):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(served[path.name])
        fetched.append((path.name, md5))
        return path

    monkeypatch.setattr(download, "fetch", fetch)
    from lab_utils.data import mame

    for _ in range(2):
        home = download.mame(progress=quiet, home=tmp_path / "mame")
    assert fetched == [("MAMe_metadata.zip", "0bca980978e3883f753f01ccad955981"), ("MAMe_data_256.zip", "")]
    assert (mame.image_folder(home) / "1.jpg").read_text() == "image"
    assert mame.find(home, mame.DATASET).read_text() == "a"
    assert sorted(item.name for item in home.iterdir()) == ["MAMe_data_256", "MAMe_metadata"]
