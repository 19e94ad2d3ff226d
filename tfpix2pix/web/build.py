"""Writes the page of an export as a folder that any host of plain files can serve."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines import pages
from pipelines.catalog import licence
from pipelines.spec import Encoding
from tfpix2pix import pretrained
from tfpix2pix.errors import ConfigError
from tfpix2pix.web import runtime

_PACKAGE = "tfpix2pix.web"
SCRIPTS = (
    *("page.js", "paper.js", "fill.js", "files.js", "examples.js"),
    *("translator.js", "worker.js", "pixels.js", "lab.js"),
)
# float16 first: half the size of float32, and as near to Keras as the eye can see.
MODELS = ("model_float16.tflite", "model_float32.tflite", "model_dynamic.tflite", "model_int8.tflite")


class NoPageError(ConfigError):
    """A folder isn't an export that a browser can run; to export a run as `tflite_float16` makes one.

    Attributes:
        run: the folder, if it is a run.
        export: the folder, if it is an export that lacks such a file.
    """

    def __init__(self, message: str, *, run: Path | None = None, export: Path | None = None) -> None:
        super().__init__(message)
        self.run, self.export = run, export


def build(exports: Path | Sequence[Path], output: Path) -> list[Path]:
    """Writes the page of one exported generator or of several: atomically, in place of what was there.

    Args:
        exports: what `python -m tfpix2pix.export` wrote; the page opens with the first, and the others can be chosen.
        output: the page's folder.

    Returns:
        The TFLite file of each that it runs.

    Raises:
        NoPageError: if one isn't an export that a browser can run.
        ConfigError: if the page doesn't know the images of one, two have one name, or LiteRT.js can't be fetched.
    """
    folders = [exports] if isinstance(exports, Path) else list(exports)
    opened = [model_of(folder) for folder in folders]
    names = [settings["name"] for _, settings in opened]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"Two of the models have the name {min(twice)}; the page knows them by their names.")
    litert = runtime.folder()
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "litert").mkdir(parents=True)
        _copy_runtime(litert, partial / "litert")
        for name in (*SCRIPTS, "icon.svg"):
            (partial / name).write_text(_resource(name), encoding="utf-8")
        (partial / "page.css").write_text(pages.style(_PACKAGE), encoding="utf-8")
        models = [
            _copy_model(folder, number, *found, partial)
            for number, (folder, found) in enumerate(zip(folders, opened, strict=True), 1)
        ]
        bytes_of = {
            str(file.relative_to(partial).as_posix()): file.stat().st_size
            for file in (*partial.glob("*.tflite"), *(partial / "litert").glob("*.wasm"))
        }
        version = runtime.PACKAGES[0].version
        page = _page(version, {"models": models, "bytes": bytes_of})
        (partial / "index.html").write_text(page, encoding="utf-8")
        title = f"A page to draw on: {', '.join(names)}"
        data = "\n".join(dict.fromkeys(model["data"] for model in models))
        read_me = pages.fill(_resource("hosting.txt"), title=title, line="=" * len(title), litert=version, data=data)
        (partial / "README.txt").write_text(read_me, encoding="utf-8")
        replace(partial, output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [model for model, _ in opened]


def model_of(export: Path) -> tuple[Path, dict[str, Any]]:
    """Returns the TFLite file of an export that a browser can run, and the export's `config.json`.

    Raises:
        NoPageError: if it isn't an export, or has no such file.
        ConfigError: if there is no such folder, or the page doesn't know its images.
    """
    if not export.is_dir():
        raise ConfigError(pretrained.missing(export))
    config = export / "config.json"
    try:
        settings = dict(json.loads(config.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise NoPageError(f"{export} is no export: it has no readable config.json.") from None
    if "multiple" not in settings:  # a run has a config.json as well
        raise NoPageError(f"{export} is a run, not an export.", run=export)
    model = next((file for name in MODELS if (file := export / name).is_file()), None)
    if model is None:
        raise NoPageError(f"{export} has no TFLite file, such as the format tflite_float16.", export=export)
    if settings["size"] is None:
        raise NoPageError(f"{model} was exported to be resized; a browser takes one size only.", export=export)
    check(*(Encoding.from_json(settings[side]) for side in ("input", "target")))
    return model, settings


def check(given: Encoding, target: Encoding) -> None:
    """Checks that the page knows how to show and read images of the input and of the target.

    Raises:
        ConfigError: if it doesn't.
    """
    for side, encoding in (("input", given), ("target", target)):
        if not encoding.fits_screen:
            values = f"{encoding.dtype} values from {encoding.low:g} to {encoding.high:g}"
            raise ConfigError(
                f"The {side} has {encoding.channels} channels of {values}; the page knows images of 1 or 3 channels of "
                "uint8 values from 0 to 255."
            )


def _copy_model(export: Path, number: int, model: Path, settings: Mapping[str, Any], page: Path) -> dict[str, Any]:
    """Copies a model and its examples into a page's folder; returns what the page has to know of them."""
    file = "model.tflite" if number == 1 else f"model_{number}.tflite"
    shutil.copyfile(model, page / file)
    examples = []
    for place, name in enumerate(settings.get("examples", ()), 1):
        if (export / name).is_file():
            examples.append(f"example_{number}_{place}.png")
            shutil.copyfile(export / name, page / examples[-1])
    return {**_page_config(settings), "model": file, "examples": examples}


def _page_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the page has to know of an export, but for its files."""
    encoding = Encoding.from_json(settings["input"])
    return {
        "name": settings["name"],
        "shape": [1, *settings["size"], encoding.depth],
        "input": _as_drawn(encoding).to_json(),
        "target": _as_drawn(Encoding.from_json(settings["target"])).to_json(),
        "colours": settings.get("colours", []),
        "data": settings.get("licence") or licence(settings["trained"]["data"]["dataset"]),
    }


def _as_drawn(encoding: Encoding) -> Encoding:
    """Returns grey label maps as coloured ones, which people can draw and tell apart."""
    if encoding.kind != "labels" or encoding.channels == 3:
        return encoding
    return dataclasses.replace(encoding, channels=3, palette=encoding.display_palette)


def _page(version: str, config: Mapping[str, Any]) -> str:
    script, first = _resource("start.js"), config["models"][0]
    return pages.fill(
        _resource("page.html"),
        script=script,
        script_hash=pages.content_hash(script),
        config=pages.script_json(config),
        name=html.escape(first["name"]),
        data=html.escape(first["data"]),
        litert=version,
    )


def _copy_runtime(litert: Path, output: Path) -> None:
    for file in litert.iterdir():
        shutil.copyfile(file, output / file.name)
    index = output / "index.js"
    text = index.read_text(encoding="utf-8")
    bare = 'from "@litertjs/wasm-utils"'
    if text.count(bare) != 1:
        raise ConfigError(f"{litert} isn't what npm has of LiteRT.js. Remove that folder, and it is fetched again.")
    for name, content in (
        (
            index,
            "// Changed by tfpix2pix: wasm-utils is imported by its path.\n"
            + text.replace(bare, 'from "./wasm-utils.js"'),
        ),
        (output / "wasm-utils.js", (output / "wasm-utils.js").read_text(encoding="utf-8")),
    ):
        # The maps that developers' tools would look for aren't here.
        lines = [line for line in content.splitlines() if not line.startswith("//# sourceMappingURL=")]
        name.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (output / "LICENSE.txt").write_text(_resource("litert_licence.txt"), encoding="utf-8")


def replace(new: Path, old: Path) -> None:
    """Puts one folder in the place of another; a kill in between leaves the other one under a name with a dot."""
    aside = old.with_name(f".{old.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if old.exists():
        os.replace(old, aside)
    os.replace(new, old)
    shutil.rmtree(aside, ignore_errors=True)


def _resource(name: str) -> str:
    return pages.resource(_PACKAGE, name)
