"""Serves a page to draw on: `python -m tfpix2pix.demo --model=saved_models/NAME`. The browser runs the network."""

from __future__ import annotations

import errno
import functools
import http
import http.server
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from pipelines import console
from tfpix2pix.errors import ConfigError


@dataclass(frozen=True)
class DemoConfig:
    """Which model, and where the page is served."""

    model: Path
    """The folder of an export, such as saved_models/NAME."""
    port: int = 8000
    """Port of the page; 0 takes any that is free."""
    host: str = "127.0.0.1"
    """Address to serve on; 0.0.0.0 lets other machines see the page."""
    open: bool = True
    """Open the page in the browser."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port must be from 0 to 65535; received: {self.port}.")


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves one folder and says nothing of it."""

    # What the system has for these endings may be wrong, and browsers refuse scripts of another type.
    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".txt": "text/plain; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        ".tflite": "application/octet-stream",
    }

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # the next model may have the same address
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, path: object) -> None:
        self.send_error(http.HTTPStatus.NOT_FOUND)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a browser that goes away is no fault
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def make_server(folder: Path, host: str = "127.0.0.1", port: int = 0) -> http.server.ThreadingHTTPServer:
    """Returns a server of a page's folder, bound but not yet serving.

    Args:
        folder: what `web.build` wrote, or will have written when it serves.
        host: address to bind to.
        port: port to bind to; 0 takes any that is free.

    Raises:
        ConfigError: if it can't be bound.
    """
    try:
        return _Server((host, port), functools.partial(_Handler, directory=str(folder)))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"--port={port} is taken on {host}. Give another, or --port=0 for any that is free."
            ) from error
        raise ConfigError(f"--host={host} --port={port} can't be served on: {error.strerror or error}.") from error


def demo(config: DemoConfig) -> None:
    """Builds the page in a temporary folder and serves it until Ctrl-C.

    Raises:
        ConfigError: if the model has no page, the port is taken, or LiteRT.js can't be fetched.
    """
    from tfpix2pix.web.build import build

    with tempfile.TemporaryDirectory(prefix="tfpix2pix-demo-") as temporary:
        folder = Path(temporary) / "web"
        with make_server(folder, config.host, config.port) as server:
            model = build(config.model, folder)
            shown = "127.0.0.1" if config.host in ("0.0.0.0", "") else config.host
            address = f"http://{shown}:{server.server_address[1]}/"
            print(f"Draw: {address}  ({model} in the browser; Ctrl-C stops)", flush=True)
            if config.open:
                webbrowser.open(address)
            server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags and serves the page; returns the exit status."""
    console.begin("tfpix2pix")
    try:
        demo(tyro.cli(DemoConfig, prog="python -m tfpix2pix.demo", description=__doc__, args=arguments))
    except ConfigError as error:
        console.error(error)
        return 2
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
