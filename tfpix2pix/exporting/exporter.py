"""Exports a generator: staged beside the output folder, compared with Keras, and only then published."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras

from pipelines.cache import write_text_atomically
from pipelines.console import progress
from pipelines.spec import Encoding
from tfpix2pix import __version__
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting import examples as drawings
from tfpix2pix.exporting import model_card, serving_files
from tfpix2pix.exporting.checks import check_output, check_same, size_of
from tfpix2pix.exporting.comparison import ExportError, Measured, compare, table
from tfpix2pix.exporting.formats import Format, resolve
from tfpix2pix.exporting.job import Job, subject_of
from tfpix2pix.exporting.samples import Samples
from tfpix2pix.inference.backends.settings import FILE, read_settings
from tfpix2pix.inference.translator import Translator
from tfpix2pix.training.run_directory import RunDirectory

CARD = "MODEL_CARD.md"
_SAVED_MODEL = "saved_model"
_SEEN = 64  # validation inputs whose colours are looked at


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote.

    Attributes:
        output: its folder.
        version: the new version's folder; `None` where no SavedModel was asked for.
        measured: what was measured of each form that was compared.
        notes: what the user should know.
        examples: how many inputs of the data set it keeps.
    """

    output: Path
    version: Path | None
    measured: list[Measured]
    notes: list[str] = field(default_factory=list)
    examples: int = 0

    def summary(self) -> str:
        """Returns a table for a terminal of what was written and how far it is from Keras."""
        return table(self.measured, markdown=False)


def export(
    source: Path | str | RunDirectory | keras.Model,
    output: Path | str,
    *,
    formats: Sequence[str] | None = None,
    generator: Literal["final", "best"] = "final",
    size: tuple[int, int] | None = None,
    dynamic: bool = False,
    encodings: tuple[Encoding, Encoding] | None = None,
    dataset: str | None = None,
    data_dir: Path | None = None,
    calibration: Path | None = None,
    samples: int = 16,
    representative: int = 100,
    examples: int = 8,
    overwrite: bool = False,
) -> ExportResult:
    """Exports a generator. Nothing in the output folder changes until every form was written, run and compared.

    Args:
        source: a run or its folder, a `.keras` file, or any Keras model of one image to one of the same size.
        output: the model's folder, `NAME`: new, empty, or an export, to which a version is added. The folder above is
            the one that a server mounts; its configuration is added to where it is missing.
        formats: names in `formats.FORMATS`; by default all but `"web"`.
        generator: of a run, the one at its end or the one with the lowest validation loss.
        size: height and width that TFLite files take; by default what was trained at.
        dynamic: lets TFLite files be resized; they are slower to start, and browsers can't take them.
        encodings: what input and target hold, where `source` doesn't tell.
        dataset: the run's data set, where it has moved.
        data_dir: the folder that named data sets lie in, or the run's own folder, where it has moved.
        calibration: a folder of images like those that will be translated, in place of the run's data.
        samples: validation inputs that every form is compared with Keras on.
        representative: training inputs that integer forms are fitted to.
        examples: of those validation inputs, how many are kept in the export's folder `examples`, for its page to start
            from; none where the run's own data can't be had.
        overwrite: whether the output may be an export of another data set or of other networks, whose TFLite files this
            one replaces.

    Returns:
        What was written.

    Raises:
        ConfigError: if the arguments, the run or the output can't be used; nothing was written.
        DatasetError: if a data set that was asked for can't be had; nothing was written.
        ExportError: if a form can't be made or isn't what Keras gives; nothing was published.
        OSError: if files can't be written.
    """
    output = Path(output)
    if min(samples, representative) < 1 or examples < 0:
        raise ConfigError("`samples` and `representative` must be at least 1, `examples` 0 or more.")
    forms = resolve(None if formats is None else tuple(formats), dynamic=dynamic)
    check_output(output)
    subject = subject_of(source, generator, encodings)
    translator = Translator(subject.generator, *subject.encodings)
    size = size_of(subject, size, translator, dynamic=dynamic)
    given = Samples(
        subject,
        dataset=dataset,
        data_dir=data_dir,
        calibration=calibration,
        required=any(form.calibrated for form in forms.values()),
    )
    images = [given.of("val", samples, size)]
    if dynamic and (multiple := translator.multiple) is not None:  # also at a size that it wasn't trained at
        images.append(given.of("val", 1, (size[0] + multiple, size[1] + 2 * multiple)))
    shown = given.of("val", max(_SEEN, examples), size) if examples and given.own else images[0][:0]
    fitted = given.of("train", representative, size) if any(form.calibrated for form in forms.values()) else None
    with tempfile.TemporaryDirectory(prefix="tfpix2pix-export-") as scratch:
        version = next_version(output)
        job = Job(
            subject=subject,
            translator=translator,
            output=output,
            version=version,
            size=size,
            dynamic=dynamic,
            samples=images,
            calibration=fitted,
            drawings=shown,
            examples=min(examples, len(shown)),
            scratch=Path(scratch),
        )
        job.settings.update(_settings(job, versioned=_SAVED_MODEL in forms))
        if not overwrite:
            check_same(job)
        for form in forms.values():
            form.check(job)
        result = _stage_and_publish(job, forms)
    return dataclasses.replace(result, notes=[*([given.note] if given.note else []), *result.notes])


def _stage_and_publish(job: Job, forms: dict[str, Format]) -> ExportResult:
    # Renaming works within one disk only.
    beside = job.output if job.output.is_mount() else job.output.resolve().parent
    beside.mkdir(parents=True, exist_ok=True)
    staging = beside / f".{job.name}.staging"
    shutil.rmtree(staging, ignore_errors=True)  # what a killed export left
    staging.mkdir()
    try:
        job.settings.update(drawings.write(job.drawings, job.subject.encodings[0], job.examples, staging))
        write_text_atomically(staging / FILE, json.dumps(job.settings, indent=2, default=str) + "\n")
        paths: dict[str, Path] = {}
        measured: list[Measured] = []
        faults: list[str] = []
        for name, form in progress(forms.items(), len(forms), "exporting", "format"):
            if any(needed not in paths for needed in form.needs):
                continue  # whose fault is listed
            try:
                paths[name] = form.write(job, staging)
                if (row := _measure(job, name, form, paths[name], staging)) is not None:
                    measured.append(row)
                    faults += [f"{name}: {row.fault}"] if row.fault else []
            except ExportError as error:
                faults.append(f"{name}: {error}")
        if faults:
            raise ExportError(
                "Nothing was exported:\n  " + "\n  ".join(faults) + "\nWhat was there is as it was. "
                "Other `formats` can be exported without these."
            )
        return _publish(job, forms, paths, measured, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _measure(job: Job, name: str, form: Format, path: Path, staging: Path) -> Measured | None:
    outputs = []
    for samples in job.samples:
        output = form.run(job, path, samples)
        if output is None:
            return None
        outputs.append(output)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return compare(name, path.relative_to(staging).as_posix(), size, outputs, job.expected)


def _publish(
    job: Job, forms: dict[str, Format], paths: dict[str, Path], measured: list[Measured], staging: Path
) -> ExportResult:
    """Puts everything in its place: the version by one rename, `config.json` and the card after it, servers last."""
    output, notes = job.output, []
    kept, removed = _older_files(job, set(paths))
    settings = {**job.settings, "files": [row.to_json() for row in (*measured, *kept)]}
    texts = {
        FILE: json.dumps(settings, indent=2, default=str) + "\n",
        CARD: model_card.write(job, [*measured, *kept]),
    }
    version = paths.get(_SAVED_MODEL)
    if version is not None:
        for name, text in texts.items():
            write_text_atomically(version / name, text)
    output.mkdir(parents=True, exist_ok=True)
    drawings.publish(staging, output)
    for name, form in forms.items():
        notes += form.publish(paths[name], output / paths[name].name)
    for file in removed:
        file.unlink()
    if removed:
        names = ", ".join(file.name for file in removed)
        notes.append(f"Removed, since they were of another generator or another size: {names}.")
    for name, text in texts.items():
        write_text_atomically(output / name, text)
    if "web" not in forms and (output / "web").exists():
        notes.append(f"{output / 'web'} is that of an export before; add web to `formats` to write it again.")
    if version is not None:
        notes += serving_files.write(output)
    path = output / version.name if version else None
    return ExportResult(output, path, measured, notes, len(job.settings["examples"]))


def _older_files(job: Job, written: set[str]) -> tuple[list[Measured], list[Path]]:
    """Returns what is known of TFLite files of exports before that are of this generator and size, and the others."""
    before = read_settings(job.output / FILE) or {}
    rows = {row["file"]: Measured.from_json(row) for row in before.get("files", ())}
    now = json.loads(json.dumps(job.settings, default=str))  # lists in place of tuples
    same = all(before.get(key) == now[key] for key in ("generator", "input", "target", "size"))
    files = [file for file in sorted(job.output.glob("model_*.tflite")) if f"tflite_{file.stem[6:]}" not in written]
    if not same:
        return [], files
    return [rows[file.name] for file in files if file.name in rows], []


def _settings(job: Job, *, versioned: bool) -> dict[str, Any]:
    given, target = job.subject.encodings
    return {
        "tfpix2pix": __version__,
        "name": job.name,
        "version": job.version if versioned else None,
        "description": model_card.description(job.subject, job.size),
        "licence": job.subject.licence,
        "input": given.to_json(),
        "target": target.to_json(),
        "multiple": job.translator.multiple,
        "size": None if job.dynamic else job.size,
        "generator": job.subject.fingerprint,
        "trained": job.subject.trained.known() if job.subject.trained else None,
    }


def next_version(folder: Path) -> int:
    """Returns the version number after the largest that lies in `folder`, the model's own folder; at least 1."""
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0) + 1
