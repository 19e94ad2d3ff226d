"""A page to draw on as a folder for any host of plain files."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tfpix2pix.exporting.comparison import Output
from tfpix2pix.exporting.job import Floats, Job
from tfpix2pix.web import build, runtime

WRITTEN = ".tfpix2pix"  # names and hashes of what was written, by which a user's own changes are known


class WebFormat:
    """The folder `web`, which runs the float16 TFLite file."""

    needs = ("tflite_float16",)
    calibrated = False
    fixed_size = True  # a browser takes one size only

    def check(self, job: Job) -> None:
        """See `Format`."""
        build.check(*job.subject.encodings)
        runtime.folder()  # fetched first, since nothing else needs a network

    def write(self, job: Job, staging: Path) -> Path:
        """See `Format`."""
        folder = staging / "web"
        build.build(staging, folder)
        (folder / WRITTEN).write_text(
            "".join(f"{_hash(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files(folder)),
            encoding="utf-8",
        )
        return folder

    def run(self, job: Job, path: Path, samples: Floats) -> Output | None:
        """See `Format`: its network is the TFLite file, which is compared by itself."""
        return None

    def publish(self, path: Path, target: Path) -> list[str]:
        """See `Format`. A user's own files stay, and a changed one of ours is kept beside the new one."""
        notes = []
        hashes = _written(target)
        for file in _files(target):
            if not hashes and file.name != "index.html" and (path / file.relative_to(target)).exists():
                continue  # written by a version that kept no hashes
            name = file.relative_to(target)
            new = path / name
            if not new.exists():
                if hashes.get(name.as_posix()) != _hash(file):  # not ours of an older version
                    new.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(file, new)
            elif hashes.get(name.as_posix()) != _hash(file) != _hash(new):
                kept = new.with_name(f"{new.stem}.before{new.suffix}")
                shutil.copy2(file, kept)
                notes.append(f"{target / name} had been changed; it is kept as {kept.name}, beside the new one.")
        build.replace(path, target)
        return notes


FORMAT = WebFormat()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != WRITTEN)


def _written(folder: Path) -> dict[str, str]:
    file = folder / WRITTEN
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines if "  " in line)}


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
