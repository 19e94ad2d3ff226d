"""A made-up evaluation, and its page."""

import io
import math
from dataclasses import replace

import numpy as np
from PIL import Image

from tfpix2pix.evaluation.page import write_page
from tfpix2pix.evaluation.report import Evaluation
from tfpix2pix.metrics.metric import MetricInfo, MetricRow, Samples

L1 = MetricInfo("l1", "L1", "lower", note="Counted on [-1, 1].")
PSNR = MetricInfo("psnr", "PSNR", "higher", "dB")
EDGES = MetricInfo("edge_density", "Edge density", "lower")
HOSTILE = "<img src=x onerror=\"window.hacked = 1\"> & 'quotes'"
COMMAND = "python -m tfpix2pix.evaluate --model='runs/a <b>' --split=val"

NAMES = ["b10", "b9", HOSTILE, "b2", "a/deep_" + "long" * 20, "B1"]
VALUES = {
    "l1": [0.1, 0.4, 0.2, 0.4, 0.3, 0.0],
    "psnr": [20.5, 10.25, math.inf, 10.25, 15.0, math.inf],
    "edge_density": [0.5, 0.25, 0.125, 0.0, 1.0, 0.75],
}
WORST_L1 = ["b9", "b2", NAMES[4], HOSTILE, "b10", "B1"]


def evaluation(**changes):
    about = {
        "model": "runs/facades",
        "dataset": "facades",
        "image_size": [8, 12],
        "noise_seed": None,
        "command": COMMAND,
        "versions": {"tfpix2pix": "1.0", "keras": "3.10"},
    }
    content = {
        "about": about,
        "rows": (MetricRow(L1, 0.23456, 0.2, 0.25), MetricRow(PSNR, math.inf), MetricRow(EDGES, 0.5, 0.4, 0.6)),
        "image_metrics": (PSNR, L1, EDGES),
        "names": tuple(NAMES),
        "values": {key: np.array(values) for key, values in VALUES.items()},
        "notes": ("Few images.", "Run `python -m tfpix2pix.train --a<b`."),
    }
    return Evaluation(**{**content, **changes})


def images(count=6, height=8, width=12):
    """Inputs and targets of two colours, outputs of noise."""
    rng = np.random.default_rng(0)
    inputs = np.where(rng.random((count, height, width, 1)) < 0.5, [[[[0, 0, 170]]]], [[[[255, 85, 0]]]])
    outputs = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return inputs.astype(np.uint8), outputs, 255 - inputs.astype(np.uint8)


def png(width=28, height=14, dpi=140):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG", dpi=(dpi, dpi))
    return buffer.getvalue()


def page_writer(folder):
    """Returns a function that writes a page of small images to the folder, and returns its file."""

    def write(result=None, arrays=None, drawn=()):
        file = folder / "index.html"
        given, outputs, targets = arrays or images()
        write_page(replace(result or evaluation(), samples=Samples(outputs, targets, given)), drawn, file)
        return file

    return write
