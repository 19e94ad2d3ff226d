"""Exports that have a page, and what stands in for LiteRT.js where no browser runs it."""

import json
from pathlib import Path

from pipelines.spec import RGB, Encoding
from tfpix2pix.web import runtime


def write_export(
    folder: Path, *, model: bytes = b"tflite", file: str = "model_float16.tflite", given: Encoding = RGB, **changes
) -> Path:
    """Writes what the page reads of an export."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(model)
    settings = {
        "name": "little",
        "version": 1,
        "input": given.to_json(),
        "target": RGB.to_json(),
        "multiple": 32,
        "size": [32, 32],
        "trained": {"data": {"dataset": "openmoji"}},
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def stand_in(cache: Path) -> Path:
    """Fills a cache with files that have LiteRT.js's names."""
    folder = cache / "pix2pix" / f"litertjs-{runtime.PACKAGES[0].version}"
    folder.mkdir(parents=True)
    for package in runtime.PACKAGES:
        for name in package.files.values():
            (folder / name).write_text(f"// {name}\n", encoding="utf-8")
    (folder / "index.js").write_text(
        'import { createWasmLib } from "@litertjs/wasm-utils";\n//# sourceMappingURL=index.js.map', encoding="utf-8"
    )
    return folder
