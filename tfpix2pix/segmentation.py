"""Trains a segmentation network, which the FCN-score needs: `python -m tfpix2pix.segmentation --output=FOLDER`.

It tells the classes in photos, and learns from the data set's own pairs of photo and label map. The defaults are meant
for a GPU. On two busy cores `--dataset=facades --image-size=128 --base-filters=16 --batch-size=4 --steps=1200
--learning-rate=0.002` took 5 minutes; held out: per-pixel accuracy .58, class accuracy .33, IoU .24.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

import tyro

from pipelines import DatasetError
from pipelines.catalog import check_name
from pipelines.console import quieten_tensorflow
from tfpix2pix import flags, process
from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics.recognition.options import CARD, NETWORK, SegmentationOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the flags, trains, and says how good the network is; returns the exit status."""
    flags.begin(SegmentationOptions)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        config = tyro.cli(
            SegmentationOptions, prog="python -m tfpix2pix.segmentation", description=__doc__, args=arguments
        )
        check_name(config.dataset, config.data_dir)
        config.check_output()
    except (ConfigError, DatasetError) as error:
        flags.error(error, SegmentationOptions)
        return 2
    quieten_tensorflow()
    process.disable_malloc_trim()
    from tfpix2pix.metrics.recognition.train import train
    from tfpix2pix.training import devices

    print(devices.describe(), file=sys.stderr)
    process.set_determinism("auto")
    try:
        card = train(config, shlex.join(["python", "-m", "tfpix2pix.segmentation", *arguments]))
    except KeyboardInterrupt:
        print("stopped; nothing was written, and the same command starts again", file=sys.stderr)
        return 130
    except (ConfigError, DatasetError, FloatingPointError, OSError) as error:
        flags.error(error, SegmentationOptions)
        return 2 if isinstance(error, ConfigError | DatasetError) else 1
    found = card["metrics"]
    print(
        f"\nHeld out ({card['held_out_pairs']} pairs of {card['held_out_split']}): per-pixel accuracy "
        f"{found['pixel_accuracy']:.3f}, class accuracy {found['class_accuracy']:.3f}, IoU {found['iou']:.3f}"
    )
    print(f"Finished: {config.output / NETWORK}\nClasses and metrics: {config.output / CARD}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
