"""Serves a page to draw on: `python -m tfpix2pix.demo --model=saved_models/NAME`. The browser runs the network.

Of several models, the page opens with the first and lets people choose.
"""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from tfpix2pix import flags, pretrained
from tfpix2pix.errors import ConfigError
from tfpix2pix.web.build import NoPageError, build, model_of
from tfpix2pix.web.server import make_server

_MODELS = Path("saved_models")  # what `export` is told to write to


@dataclass(frozen=True)
class DemoConfig:
    """Which models, and where the page is served."""

    model: tuple[Path, ...] = ()
    """Folders of exports, such as saved_models/NAME, or names of models that come with the package; not given: all that
    lie in saved_models, or else all that come with the package."""
    port: int = 8000
    """Port of the page; 0 takes any that is free."""
    host: str = "127.0.0.1"
    """Address to serve on; 0.0.0.0 lets other machines see the page."""
    open: bool = True
    """Open the page in the browser."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port must be from 0 to 65535; received: {self.port}.")


def demo(config: DemoConfig) -> None:
    """Builds the page in a temporary folder and serves it until Ctrl-C.

    Raises:
        ConfigError: if a model has no page, the port is taken, or LiteRT.js can't be fetched.
    """
    exports = tuple(map(pretrained.located, config.model)) or _usable()
    with tempfile.TemporaryDirectory(prefix="tfpix2pix-demo-") as temporary:
        folder = Path(temporary) / "web"
        with make_server(folder, config.host, config.port) as server:
            models = build(exports, folder)
            shown = "127.0.0.1" if config.host in ("0.0.0.0", "") else config.host
            address = f"http://{shown}:{server.server_address[1]}/"
            names = ", ".join(str(model) for model in models)
            print(f"Draw: {address}  ({names} in the browser; Ctrl-C stops)", flush=True)
            if config.open:
                webbrowser.open(address)
            server.serve_forever()


def _usable() -> tuple[Path, ...]:
    """Returns the exports that lie in `saved_models` and have a page, or those that come with the package."""
    found = []
    for file in sorted(_MODELS.glob("*/config.json")):
        try:
            model_of(file.parent)
            found.append(file.parent)
        except ConfigError as error:
            print(f"note: left out: {error}", file=sys.stderr)
    return tuple(found or pretrained.available().values())


def _how_to_export(error: NoPageError) -> str:
    """Returns the command that makes what the page needs."""
    name = error.run.resolve().name if error.run else "NAME"
    command = f"--run={error.run or 'RUN'} --output={error.export or _MODELS / name}"
    if error.export:
        command += " --formats tflite_float16"
    return f"Export {'it' if error.run else 'a run'}: python -m tfpix2pix.export {command}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags and serves the page; returns the exit status."""
    flags.begin(DemoConfig)
    try:
        demo(tyro.cli(DemoConfig, prog="python -m tfpix2pix.demo", description=__doc__, args=arguments))
    except NoPageError as error:
        flags.error(f"{error} {_how_to_export(error)}", DemoConfig)
        return 2
    except ConfigError as error:
        flags.error(error, DemoConfig)
        return 2
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
