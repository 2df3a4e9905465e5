"""Showing a written board in a browser, from a server that only this machine reaches."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fer_bench.errors import UsageError

ADDRESS = "127.0.0.1"


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing per request."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")  # the next board is written to the same place
        super().end_headers()


def board_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of a folder, bound to this machine's loopback address and not yet running.

    Args:
        folder: What it serves.
        port: Its port; 0 takes a free one.

    Raises:
        UsageError: The port is taken or not allowed.
    """
    try:
        return ThreadingHTTPServer((ADDRESS, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        problem = f"cannot listen on this port: {error.strerror}"
        raise UsageError(problem, value=port, hint="leave --port out to take a free one") from None


def serve(folder: Path, *, port: int = 0, browser: bool = True, say: Callable[[str], object] = print) -> None:
    """Serve the board of a folder until Ctrl-C, and open it in the browser.

    Args:
        folder: Folder with `index.html`.
        port: Port; 0 takes a free one.
        browser: Whether to open the browser, where there is a display.
        say: Gets the address.

    Raises:
        UsageError: The port is taken or not allowed.
    """
    with board_server(folder, port) as server:
        address = f"http://{ADDRESS}:{server.server_address[1]}/index.html"
        say(f"serving {address}; Ctrl-C ends")
        if browser and has_display():
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended")


def has_display() -> bool:
    """Return whether a browser with windows can open; without one, a text browser would take the terminal."""
    return sys.platform in ("win32", "darwin") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ})
