"""``microcalc app`` as a process: how it starts and how it ends."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from app.conftest import CHANGING, png

from microcalc.app.session import PREFIX, remove_left_folders
from microcalc.cli import main

PATIENCE = 120


def test_without_its_extra_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit, match="2"):
        main(["app", "--no-browser"])
    assert capsys.readouterr().err == 'microcalc: the package uvicorn is missing; install it: pip install ".[app]"\n'


def test_a_port_in_use_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit, match="2"):
        main(["app", "--no-browser", "--port", str(taken.getsockname()[1])])
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "Address already in use" in err and "give another port" in err


@pytest.mark.parametrize(
    "option", [["--port", "70000"], ["--pixel-size", "7"], ["--committee", "nowhere"], ["nowhere"]]
)
def test_an_impossible_request_is_refused_before_the_page_opens(
    option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["app", "--no-browser", *option])
    assert capsys.readouterr().err.count("\n") == 1


def test_folders_of_sessions_that_were_killed_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [f"{PREFIX}{ended.pid}-a", f"{PREFIX}{os.getpid()}-b", f"{PREFIX}x-c", "other"]
    for name in names:
        (tmp_path / name).mkdir()
    remove_left_folders()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_an_interruption_ends_the_server_and_deletes_uploads(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "microcalc", "app", "--no-browser", "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            host, port = address.removeprefix("http://").rstrip("/").split(":")
            browser = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
            headers = {**CHANGING, "Origin": address.rstrip("/")}
            browser.request("POST", "/api/images?name=a.png&pixel_size_mm=0.1", png(700, 600), headers)
            assert browser.getresponse().status == 201
            (folder,) = tmp_path.glob(f"{PREFIX}*")
            assert len(list(folder.iterdir())) == 1
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert list(tmp_path.glob(f"{PREFIX}*")) == []
