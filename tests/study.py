"""A little study, and people who answer it, for the tests of `tfpix2pix.study`."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfpix2pix.study import __main__ as verbs
from tfpix2pix.study.plan import FORMAT, Study

HOSTILE = "<script>hacked()</script>"
HOSTILE_FILE = '<img src=x onerror="hacked()">.png'


def make_images(folder: Path, count: int, blue: int, size: int = 256) -> Path:
    """Writes `count` images of one colour each; `blue` tells the folders apart."""
    folder.mkdir(parents=True)
    for number in range(count):
        colour = np.array([10 + 200 * number // count, 250 - 200 * number // count, blue], np.uint8)
        Image.fromarray(np.tile(colour, (size, size, 1))).save(folder / f"{number:02d}.png")
    return folder


def make_study(root: Path, practice: int = 2, trials: int = 4, *more: str) -> Path:
    """Builds a study of two algorithms with images for two more pairs than a person sees; returns its folder."""
    count = practice + trials + 2
    folders = [make_images(root / kind, count, blue) for kind, blue in (("real", 0), ("cgan", 120), ("l1", 240))]
    for folder in folders:
        (folder / "00.png").rename(folder / HOSTILE_FILE)
    flags = [f"--real={folders[0]}", f"--fake=cgan={folders[1]}", f"--fake={HOSTILE}={folders[2]}"]
    numbers = [f"--practice={practice}", f"--trials={trials}"]
    assert verbs.main(["build", *flags, f"--output={root / 'study'}", *numbers, *more]) == 0
    return root / "study"


def fakes(study: Study) -> set[str]:
    """Returns the names of all fakes."""
    return {pair.fake for algorithm in study.algorithms for pair in (*algorithm.practice, *algorithm.test)}


def answers(study: Study, person: int, fooled: int = 0) -> dict[str, Any]:
    """Returns what the page saves for a person who is fooled in the first `fooled` trials that count."""
    draw = study.draw(person)
    known = fakes(study)
    trials = []
    for number, pictures in enumerate(draw.trials):
        fake = 1 + [name in known for name in pictures].index(True)
        practice = number < study.practice
        wrong = not practice and number - study.practice < fooled
        trials.append(
            {
                "practice": practice,
                "pictures": list(pictures),
                "shown_ms": [1000.1, 999.9],
                "left": False,
                "answer": 3 - fake if wrong else fake,
                "answer_ms": 700.5,
            }
        )
    return {
        "format": FORMAT,
        "study": study.id,
        "person": person,
        "algorithm": draw.algorithm,
        "started": "2026-01-01T00:00:00.000Z",
        "screen": {"width": 800, "height": 600, "ratio": 1, "inside": 800},
        "trials": trials,
        "finished": "2026-01-01T00:05:00.000Z",
    }
