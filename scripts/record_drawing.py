"""Records the README's animation: a mushroom is drawn on the real page, and the network answers as it is drawn.

`python -m scripts.record_drawing`, in a clone with a Chromium, writes docs/drawing.webp. Each frame is taken once the
network has answered; on an idle machine that takes less than the 90 ms that a frame is shown.
"""

from __future__ import annotations

import io
import itertools
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.browser import Browser
from tfpix2pix.web.build import build
from tfpix2pix.web.server import make_server

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs/drawing.webp"
MILLISECONDS, LAST = 90, 3000
SIZE = 1040, 760
SPEED = 9  # points of a line to a frame

Points = list[tuple[float, float]]
RED, WHITE, CREAM, DARK = "#f8312f", "#ffffff", "#ffdea7", "#402a32"


def arc(x: float, y: float, width: float, height: float, start: float, stop: float, count: int = 120) -> Points:
    """Returns points of an ellipse between two angles in degrees, in parts of the paper's side."""
    angles = np.radians(np.linspace(start, stop, count))
    return [(x + width * float(np.cos(angle)), y + height * float(np.sin(angle))) for angle in angles]


def line(*corners: tuple[float, float], count: int = 40) -> Points:
    """Returns points of straight lines through corners."""
    pairs = itertools.pairwise(corners)
    steps = np.linspace(0, 1, count)
    return [(ax + (bx - ax) * t, ay + (by - ay) * t) for (ax, ay), (bx, by) in pairs for t in map(float, steps)]


CAP = [*arc(0.5, 0.5, 0.38, 0.36, 180, 360), *arc(0.5, 0.5, 0.38, 0.1, 0, 180)]
STEM = [*line((0.37, 0.625), (0.35, 0.78)), *arc(0.5, 0.8, 0.15, 0.1, 180, 0, 60), *line((0.65, 0.78), (0.63, 0.625))]
SMILE = arc(0.5, 0.73, 0.045, 0.035, 20, 160, 40)


class Recorder:
    """Draws on the page and keeps what is seen.

    Args:
        browser: with the page open.
    """

    def __init__(self, browser: Browser) -> None:
        self.frames: list[Image.Image] = []
        self._browser = browser
        box = "document.getElementById('drawing').getBoundingClientRect()"
        self._box = browser.run(f"(box => [box.x, box.y, box.width])({box})")

    def pick(self, tool: str, colour: str, size: int = 22) -> None:
        """Chooses a tool, a colour and a size."""
        self._browser.run(f"document.querySelector('[data-tool={tool}]').click()")
        for name, value in (("size", size), ("colour", f"'{colour}'")):
            self._browser.run(
                f"(one => {{ one.value = {value}; one.dispatchEvent(new Event('input', {{bubbles: true}})) }})"
                f"(document.getElementById('{name}'))"
            )
        self.keep()

    def stroke(self, points: Points) -> None:
        """Draws a line with the mouse."""
        self._mouse("mousePressed", points[0])
        for number, point in enumerate(points, start=1):
            self._mouse("mouseMoved", point)
            if number % SPEED == 0:
                self.keep()
        self._mouse("mouseReleased", points[-1])
        self.keep()

    def click(self, *places: tuple[float, float]) -> None:
        """Clicks at some places, a frame each."""
        for place in places:
            self._mouse("mousePressed", place)
            self._mouse("mouseReleased", place)
            self.keep()

    def keep(self) -> None:
        """Keeps what is seen, once the network has answered."""
        time.sleep(0.05)
        self._browser.wait("document.body.dataset.state === 'ready'")
        self.frames.append(Image.open(io.BytesIO(self._browser.screenshot())).convert("RGB"))

    def _mouse(self, kind: str, place: tuple[float, float]) -> None:
        left, top, side = self._box
        x, y = left + side * place[0], top + side * place[1]
        held = {"button": "left", "buttons": 0 if kind == "mouseReleased" else 1, "clickCount": 1}
        self._browser.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)


def draw(recorder: Recorder) -> None:
    """Draws the mushroom."""
    recorder.pick("pen", RED)
    recorder.stroke(CAP)
    recorder.pick("fill", RED)
    recorder.click((0.5, 0.3))
    recorder.pick("pen", CREAM)
    recorder.stroke(STEM)
    recorder.pick("fill", CREAM)
    recorder.click((0.5, 0.75))
    recorder.pick("pen", WHITE, 72)
    recorder.click((0.37, 0.36), (0.57, 0.27))
    recorder.pick("pen", WHITE, 52)
    recorder.click((0.68, 0.43), (0.51, 0.47), (0.24, 0.49), (0.79, 0.53))
    recorder.pick("pen", DARK, 26)
    recorder.click((0.43, 0.69), (0.57, 0.69))
    recorder.pick("pen", DARK, 14)
    recorder.stroke(SMILE)


def main() -> None:
    """Serves the page, draws and writes the animation."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "web"
        with make_server(folder, "127.0.0.1", 0) as server:
            build((ROOT / "saved_models/fluent",), folder)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with Browser(Path(temporary) / "profile") as browser:
                browser.look(*SIZE)
                browser.send("Emulation.setScrollbarsHidden", hidden=True)
                browser.open(f"http://127.0.0.1:{server.server_address[1]}/")
                browser.wait("document.body.dataset.state === 'ready'", 120)
                browser.run("document.getElementById('clear').click()")
                recorder = Recorder(browser)
                recorder.keep()
                draw(recorder)
            server.shutdown()
    first, *rest = recorder.frames
    times = [MILLISECONDS] * len(rest) + [LAST]
    first.save(OUTPUT, save_all=True, append_images=rest, duration=times, loop=0, quality=80, method=6)
    print(f"{OUTPUT}: {len(times)} frames, {OUTPUT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
