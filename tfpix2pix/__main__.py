"""The commands: `tfpix2pix COMMAND ...`, the same as `python -m tfpix2pix COMMAND ...`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import tfpix2pix
from pipelines.console import did_you_mean

VERBS = {
    "train": ("tfpix2pix.train", "train a generator on a data set or on your own pairs"),
    "translate": ("tfpix2pix.translate", "translate images with a trained generator"),
    "export": ("tfpix2pix.export", "export a generator for servers, phones and browsers"),
    "evaluate": ("tfpix2pix.evaluate", "measure how good a generator's images are"),
    "ablate": ("tfpix2pix.ablate", "train and evaluate the rows of a table of the paper"),
    "study": ("tfpix2pix.study.__main__", "ask people which images are real"),
    "demo": ("tfpix2pix.demo", "serve a page to draw on"),
    "inspect": ("pipelines.inspect", "check a data set, and see what a network will see of it"),
    "segmentation": ("tfpix2pix.segmentation", "train a segmentation network for the FCN-score"),
    "devices": ("tfpix2pix.devices", "list the hardware that TensorFlow can use"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the first argument names; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        lines = [f"  {verb:<13}{what}" for verb, (_, what) in VERBS.items()]
        usage, more = "usage: tfpix2pix COMMAND [OPTIONS]", "tfpix2pix COMMAND --help shows its options."
        print(usage, "\n".join(lines), more, sep="\n\n")
        return 0
    if name == "--version":
        print(tfpix2pix.__version__)
        return 0
    if name not in VERBS:
        hint = did_you_mean(name, VERBS) or f"Known: {', '.join(VERBS)}."
        print(f"error: there is no command {name!r}. {hint}", file=sys.stderr)
        return 2
    return int(importlib.import_module(VERBS[name][0]).main(rest))


if __name__ == "__main__":
    sys.exit(main())
