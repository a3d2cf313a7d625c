"""The INFN archive: found where it should be, fetched without waiting for the dead, and never trusted unread."""

import gzip
import hashlib
import http.server
import io
import shutil
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from microcalc.data import sources
from microcalc.data.sources import (
    download_infn,
    fetch_infn,
    find_external,
    find_infn,
    infn_pixel_hashes,
    read_infn,
)
from microcalc.errors import DataError, FailedError, UnreachableError

Handler = type[http.server.BaseHTTPRequestHandler]
Serve = Callable[[Handler], str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no MICROCALC_DATA, and no proxy between us and the local server."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(sources, "cache_folder", lambda: folder)
    monkeypatch.delenv("MICROCALC_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four PNG files in the place of the 797 that INFN published."""
    random = np.random.default_rng(0)
    patches = {
        f"{part}/{label}/000{label}t1_1_{'1_' * label}{label}_1.png": random.integers(0, 256, (60, 60), dtype=np.uint8)
        for part in ("Test", "Train")
        for label in (0, 1)
    }
    hashes = {name: hashlib.sha256(patch.tobytes()).hexdigest() for name, patch in patches.items()}
    monkeypatch.setattr(sources, "infn_pixel_hashes", lambda: hashes)
    return {name: png(patch) for name, patch in patches.items()}


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, target
    return info


def tar(files: dict[str, bytes], *others: tarfile.TarInfo, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            archive.addfile(member(name, size=len(content)), io.BytesIO(content))
        for info in others:
            archive.addfile(info)
    return buffer.getvalue()


def with_negative_size() -> bytes:
    """A header that says it is followed by less than nothing, which sends some readers round in circles."""
    header = bytearray(member("Train/0/a.png").tobuf())
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"
    header[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(header))[0]
    return bytes(header) + bytes(1024)


# Where it is found


def test_the_given_archive_comes_before_all_others_and_is_an_error_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "DL_class_data.tar.gz").touch()
    monkeypatch.setenv("MICROCALC_DATA", str(tmp_path / "named"))
    mine = tmp_path / "mine.tgz"
    mine.touch()
    assert find_infn(mine) == mine
    with pytest.raises(DataError, match=r"gone\.tgz: no such INFN archive.*as archive"):
        find_infn(tmp_path / "gone.tgz")


def test_the_folder_named_by_microcalc_data_comes_before_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (cache, tmp_path / "named"):
        folder.mkdir()
        (folder / "DL_class_data.tar.gz").touch()
    monkeypatch.setenv("MICROCALC_DATA", str(tmp_path / "named"))
    assert find_infn() == tmp_path / "named" / "DL_class_data.tar.gz"


def test_a_microcalc_data_that_points_nowhere_leaves_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROCALC_DATA", "/nowhere")
    assert find_infn() is None
    cache.mkdir()
    (cache / "DL_class_data.tar.gz").touch()
    assert find_infn() == cache / "DL_class_data.tar.gz"


@pytest.mark.parametrize("inner", ["DL_class_data", "."])
def test_the_unpacked_archive_serves_as_well(
    inner: str, tmp_path: Path, published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in published.items():
        file = tmp_path / inner / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    monkeypatch.setenv("MICROCALC_DATA", str(tmp_path))
    found = find_infn()
    assert found is not None
    assert read_infn(found)[0] == tuple(published)


def test_the_external_patches_are_looked_for_beside_the_archive_then_in_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_external() is None
    cache.mkdir()
    (cache / "external_patches.zip").touch()
    assert find_external() == cache / "external_patches.zip"
    (tmp_path / "external_patches.zip").touch()
    monkeypatch.setenv("MICROCALC_DATA", str(tmp_path))
    assert find_external() == tmp_path / "external_patches.zip"


# What is in it


def test_the_hash_list_in_the_package_is_the_published_one(shared_data: Path) -> None:
    lines = (shared_data / "DL_class_data.pixels.sha256").read_text().splitlines()
    assert {f"{digest}  {name}" for name, digest in infn_pixel_hashes().items()} == set(lines)


def test_the_real_archive_passes_the_check(shared_data: Path) -> None:
    files, patches = read_infn(shared_data / "DL_class_data.tar.gz")
    assert patches.shape == (797, 60, 60)
    assert patches.dtype == np.uint8
    assert list(files) == sorted(files)
    assert fetch_infn(shared_data / "DL_class_data.tar.gz") == shared_data / "DL_class_data.tar.gz"


@pytest.mark.parametrize("mode", ["w:gz", "w"])
@pytest.mark.parametrize("prefix", ["", "./", "DL_class_data/"])
def test_the_container_does_not_matter(mode: str, prefix: str, tmp_path: Path, published: dict[str, bytes]) -> None:
    path = tmp_path / "DL_class_data.tar.gz"
    content = {prefix + name: content for name, content in reversed(published.items())} | {"README": b"hello"}
    path.write_bytes(tar(content, member("Train", tarfile.DIRTYPE), mode=mode))
    files, patches = read_infn(path)
    assert files == tuple(published)
    assert [png(patch) for patch in patches] == list(published.values())


@pytest.mark.parametrize(
    "evil",
    [
        member("Train/0/x.png", tarfile.SYMTYPE, target="/etc/passwd"),
        member("Train/0/x.png", tarfile.LNKTYPE, target="/etc/passwd"),
        member("null", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
        member("/tmp/microcalc-evil"),
        member("Train/../../microcalc-evil"),
    ],
)
def test_an_evil_member_of_an_archive_is_neither_written_nor_followed(
    evil: tarfile.TarInfo, tmp_path: Path, published: dict[str, bytes]
) -> None:
    path = tmp_path / "evil.tar.gz"
    path.write_bytes(tar(published, evil))
    assert read_infn(path)[0] == tuple(published)
    assert list(tmp_path.iterdir()) == [path]
    assert not Path("/tmp/microcalc-evil").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a readable tar archive"),
        (b"<html>come in</html>", "not a readable tar archive"),
        (gzip.compress(b"no tar in here"), "not a readable tar archive"),
        (b"\x1f\x8b and then nonsense", "not a readable tar archive"),
        (tar({"Train/0/a.png": bytes(range(256)) * 9})[:-200], "not a readable tar archive"),
        (with_negative_size(), "an impossible size|not a readable tar archive"),
        (gzip.compress(bytes((1 << 26) + 1)), "more than 64 MiB"),
        (bytes((1 << 26) + 1), "more than 64 MiB"),
    ],
    ids=["empty", "a web page", "no tar", "no gzip", "cut short", "negative size", "bomb", "huge"],
)
def test_what_is_no_archive_is_refused(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "data.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"data\.tar\.gz: .*{complaint}"):
        read_infn(path)


def test_a_missing_file_is_named_and_so_is_the_way_to_get_it(tmp_path: Path, published: dict[str, bytes]) -> None:
    path = tmp_path / "data.tar.gz"
    gone = next(iter(published))
    path.write_bytes(tar({name: content for name, content in published.items() if name != gone}))
    with pytest.raises(DataError, match=f"1 of its 4 files are missing, {gone} first; download https://.*as archive"):
        read_infn(path)


def altered(content: bytes) -> bytes:
    pixels = np.array(Image.open(io.BytesIO(content)))
    pixels[59, 59] ^= 1
    return png(pixels)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (altered, "the pixels of Train/1/.* differ from the published ones"),
        (lambda content: content[:100], "Train/1/.* does not decode"),
        (lambda content: content[:1500] + bytes(100) + content[1600:], "Train/1/.* does not decode"),
        (lambda content: b"", "Train/1/.* does not decode"),
        (lambda content: png(np.zeros((60, 61), np.uint8)), "Train/1/.* does not decode"),
        (lambda content: png(np.zeros((60, 60, 3), np.uint8)), "Train/1/.* does not decode"),
    ],
    ids=["one bit altered", "cut short", "corrupted", "empty", "another size", "colour"],
)
def test_a_damaged_patch_is_named(
    damage: Callable[[bytes], bytes], complaint: str, tmp_path: Path, published: dict[str, bytes]
) -> None:
    path = tmp_path / "data.tar.gz"
    last = list(published)[-1]
    path.write_bytes(tar(published | {last: damage(published[last])}))
    with pytest.raises(DataError, match=complaint):
        read_infn(path)


def test_an_unreadable_place_is_an_error(tmp_path: Path, published: dict[str, bytes]) -> None:
    with pytest.raises(DataError, match=r"gone\.tar: cannot be read"):
        read_infn(tmp_path / "gone.tar")


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_archive_with_any_bytes_changed_is_read_right_or_refused(
    published: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    whole = bytearray(tar(published, mode="w"))
    for _ in range(data.draw(st.integers(1, 4))):
        header = data.draw(st.sampled_from(range(0, len(whole), 512)))
        whole[header + data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzzed.tar"
    path.write_bytes(whole)
    try:
        files, patches = read_infn(path)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert files == tuple(published)
        assert [png(patch) for patch in patches] == list(published.values())


# How it is fetched


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts local servers; gives the address of a file on them."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(handler: Handler) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/DL_class_data.tar.gz"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answering(*pieces: bytes, length: int | None = None, status: int = 200, pause: float = 0.0) -> Handler:
    """A server that sends pieces of an answer, with a pause before each."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(sum(map(len, pieces)) if length is None else length))
            self.end_headers()
            for piece in pieces:
                time.sleep(pause)
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Answer


def test_the_real_archive_is_downloaded_checked_and_found_from_then_on(
    shared_data: Path, cache: Path, serve: Serve
) -> None:
    content = (shared_data / "DL_class_data.tar.gz").read_bytes()
    path = download_infn(url=serve(answering(content)))
    assert path == find_infn() == fetch_infn()
    assert path.read_bytes() == content
    assert list(cache.iterdir()) == [path]


def test_a_slow_server_that_keeps_talking_is_waited_for(published: dict[str, bytes], serve: Serve) -> None:
    content = tar(published)
    pieces = [content[start : start + 1500] for start in range(0, len(content), 1500)]
    start = time.monotonic()
    assert download_infn(url=serve(answering(*pieces, pause=0.15)), patience=0.7).read_bytes() == content
    assert time.monotonic() - start > 1


@pytest.mark.parametrize(
    ("handler", "complaint"),
    [
        (answering(status=404), "the server answers 404"),
        (answering(b"<html>log in first</html>"), "not a readable tar archive"),
        (answering(b"half", length=100), "cannot be downloaded"),
        (answering(tar({"Train/0/other.png": b""})), "files are missing"),
    ],
    ids=["not found", "a web page", "cut short", "another archive"],
)
def test_what_is_not_the_archive_never_reaches_the_cache(
    handler: Handler, complaint: str, cache: Path, serve: Serve
) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        download_infn(url=serve(handler))
    assert isinstance(caught.value, UnreachableError) == complaint.startswith(("the server", "cannot be"))
    assert not cache.exists()


def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch, cache: Path, serve: Serve) -> None:
    monkeypatch.setattr(sources, "MOST_TAR_BYTES", 100_000)
    with pytest.raises(DataError, match="far larger than the archive") as caught:
        download_infn(url=serve(answering(bytes(5_000_000))))
    assert not isinstance(caught.value, UnreachableError)
    assert not cache.exists()


def test_a_failed_download_leaves_the_archive_of_before(cache: Path, published: dict[str, bytes], serve: Serve) -> None:
    path = download_infn(url=serve(answering(tar(published))))
    with pytest.raises(DataError):
        download_infn(url=serve(answering(b"half", length=100)))
    assert read_infn(path)[0] == tuple(published)
    assert list(cache.iterdir()) == [path]


def assert_gives_up_soon(url: str) -> None:
    start = time.monotonic()
    with pytest.raises(
        UnreachableError, match=r"cannot be downloaded \((ReadTimeout|ConnectionError)\); download .* in"
    ):
        download_infn(url=url, patience=0.5)
    assert time.monotonic() - start < 9


def test_a_server_that_accepts_and_never_answers_or_refuses_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        assert_gives_up_soon(url)
    assert_gives_up_soon(url)


def test_a_server_that_falls_silent_half_way_is_given_up(serve: Serve) -> None:
    assert_gives_up_soon(serve(answering(b"half", b"the rest", pause=4)))


def test_a_cache_that_cannot_be_written_is_said(cache: Path, published: dict[str, bytes], serve: Serve) -> None:
    cache.write_text("a file in the place of the folder")
    with pytest.raises(FailedError, match="DL_class_data"):
        download_infn(url=serve(answering(tar(published))))


def test_fetch_downloads_only_what_is_not_here(
    cache: Path, published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def download() -> Path:
        cache.mkdir()
        (cache / "DL_class_data.tar.gz").write_bytes(tar(published))
        return cache / "DL_class_data.tar.gz"

    monkeypatch.setattr(sources, "download_infn", download)
    path = fetch_infn()
    monkeypatch.setattr(sources, "download_infn", pytest.fail)
    assert fetch_infn() == path
    shutil.copy(path, cache / "copy.tar.gz")
    assert fetch_infn(cache / "copy.tar.gz") == cache / "copy.tar.gz"
    path.write_bytes(b"rot")
    with pytest.raises(DataError, match="not a readable tar archive"):
        fetch_infn()
