"""Serves the folder of a page, and nothing else, on this machine."""

from __future__ import annotations

import errno
import functools
import http
import http.server
import sys
from pathlib import Path

from tfpix2pix.errors import ConfigError


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
                f"Port {port} is taken on {host}. Give another as `port`, or 0 for any that is free."
            ) from error
        raise ConfigError(f"{host}:{port} can't be served on: {error.strerror or error}.") from error
