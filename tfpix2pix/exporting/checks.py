"""What is checked of an export before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.console import format_size
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting.job import Job, Subject
from tfpix2pix.inference.backends.settings import FILE, read_settings
from tfpix2pix.inference.translator import Translator


def check_output(output: Path) -> None:
    """Checks that a folder may be exported to: it is new, empty, or an export.

    Raises:
        ConfigError: if not.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"The output {output} is a file, not a folder.")
    if output.resolve().name.isdecimal():
        raise ConfigError(
            f"The output {output} would be taken for a version of a model. It names the model's folder; the export "
            "numbers its versions itself."
        )
    if not output.is_dir() or not any(output.iterdir()):
        return
    try:
        settings = read_settings(output / FILE) or {}
    except (ValueError, OSError) as error:
        raise ConfigError(f"{output / FILE} can't be read: {error}") from error
    if not {"multiple", "input", "target"} <= settings.keys():
        what = "is a run" if settings else "holds other files"
        raise ConfigError(f"The output {output} {what}. Give a folder that is new, empty, or an export.")


def check_same(job: Job) -> None:
    """Checks that an export that lies in the output is of the same data set and networks, as far as both tell.

    Raises:
        ConfigError: if not.
    """
    before = (read_settings(job.output / FILE) or {}).get("trained")
    now = json.loads(json.dumps(job.settings["trained"], default=str))
    if not before or not now:
        return
    before, now = ({**config["data"], **config["model"]} for config in (before, now))
    for name in ("dataset", "task", "direction", "generator", "base_filters"):
        old, new = (Path(str(config.get(name))).name for config in (before, now))
        if old != new:
            raise ConfigError(
                f"{job.output} holds an export of another run: `{name}` {old}, {new} now. Give another `output`, or "
                "`overwrite` to replace it."
            )


def size_of(
    subject: Subject,
    size: tuple[int, int] | None,
    translator: Translator,
    *,
    dynamic: bool,
) -> tuple[int, int]:
    """Returns the height and width of TFLite files.

    Raises:
        ConfigError: if the network can't take it.
    """
    sides = subject.generator.inputs[0].shape[1:3]
    multiple, only = translator.multiple, translator.size
    if size is None:
        if only is not None:
            size = only
        elif subject.trained is not None:
            size = subject.trained.data.image_size
        elif None in sides:
            raise ConfigError("The model takes any size; give the one that TFLite files take as `size`.")
        else:
            size = (sides[0], sides[1])
    if only is not None and (dynamic or size != only):
        raise ConfigError(
            f"This network takes {format_size(only)} px only, so it goes with no other `size` and not with `dynamic`."
        )
    if multiple is not None and (min(size) < 1 or any(side % multiple for side in size)):
        raise ConfigError(f"`size` must be multiples of {multiple} px for this network. Received: {format_size(size)}")
    return size
