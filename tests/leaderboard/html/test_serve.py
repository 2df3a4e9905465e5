"""The server of a written board."""

import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

from fer_bench.errors import UsageError
from fer_bench.leaderboard.html import serve

SERVE = "import sys; from pathlib import Path; from fer_bench.leaderboard.html.serve import serve; "
SERVE += "serve(Path(sys.argv[1]), say=lambda text: print(text, flush=True))"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "index.html").write_text("the board", encoding="utf-8")
    return tmp_path


def test_a_process_serves_until_it_is_interrupted(folder):
    """Without a display no browser is opened, which a text browser would take the terminal with."""
    environment = {"PATH": "", "BROWSER": "false", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", SERVE, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        line = process.stdout.readline()
        address = line.split()[1].rstrip(";")
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.read() == b"the board"
            assert answer.headers["Cache-Control"] == "no-store"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().strip() == "ended"
    assert process.returncode == 0


def test_only_this_machine_and_only_the_folder_are_served(folder):
    (folder / "inside").mkdir()
    with serve.board_server(folder / "inside") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address
        assert host == "127.0.0.1"
        with socket.create_connection((host, port), timeout=10) as connection:
            connection.sendall(b"GET /../index.html HTTP/1.0\r\n\r\n")
            assert b"404" in connection.recv(1000).splitlines()[0]
        server.shutdown()


def test_a_taken_port_is_one_error(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="listen") as found:
        serve.board_server(folder, taken.getsockname()[1])
    assert found.value.hint


@pytest.mark.parametrize(
    ("display", "wanted", "opened"), [(":0", True, 1), (":0", False, 0), (None, True, 0)]
)
def test_the_browser_is_opened_where_there_is_a_display(folder, monkeypatch, display, wanted, opened):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", display)
    asked, said = [], []
    monkeypatch.setattr(serve.webbrowser, "open", asked.append)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(serve.ThreadingHTTPServer, "serve_forever", interrupted)
    serve.serve(folder, browser=wanted, say=said.append)
    assert len(asked) == opened
    assert said[0].startswith("serving http://127.0.0.1:")
    assert said[-1] == "ended"
    assert all(address in said[0] for address in asked)
