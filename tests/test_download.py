"""Downloads against a local server that can break off, refuse, change its mind and ignore ranges."""

import contextlib
import hashlib
import http.server
import io
import threading
import zipfile
from email.utils import formatdate

import pytest

from lab_utils.core.errors import LabError
from lab_utils.data import download

CONTENT = bytes(range(256)) * 4000


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
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.plan = {"ranges": True, "cuts": [], "status": 200, "etag": '"one"', "content": CONTENT, "asked": []}
        made.url = f"http://127.0.0.1:{made.server_port}/file.zip"
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


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
    server.plan |= {"content": CONTENT[::-1], "etag": '"two"'}
    assert download.fetch(server.url, tmp_path / "file.zip", progress=quiet).read_bytes() == CONTENT[::-1]


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
def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
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


def test_a_damaged_archive_leaves_no_folder(tmp_path):
    good = zipped({"1.txt": "x" * 1000})
    for damaged in (b"no zip", good.replace(b"x" * 10, b"y" * 10)):
        (tmp_path / "a.zip").write_bytes(damaged)
        with pytest.raises(LabError, match="is damaged"):
            download.extract(tmp_path / "a.zip", tmp_path / "a", quiet)
        assert [item.name for item in tmp_path.iterdir()] == ["a.zip"]


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
