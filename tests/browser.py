"""A headless Chromium, driven over a pipe by the DevTools protocol: no driver and no package are needed."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Returns the browser's command, or None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a fresh browser.

    Args:
        profile: an empty folder for what the browser stores.
    """

    def __init__(self, profile: Path) -> None:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        command = [find() or "", *flags, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        # The browser reads commands from 3 and writes to 4; what it prints is of no interest.
        pipes = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
        self._process = subprocess.Popen(
            ["sh", "-c", pipes, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._commands, self._answers = self._process.stdin, self._process.stdout
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Page.setLifecycleEventsEnabled", enabled=True)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):
            self._session = None
            self.send("Browser.close")
            self._process.wait(10)
        # Whatever of it is left: the group is the browser's own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._commands.close()
        self._answers.close()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._receive(60)
            if answer is None:
                raise TimeoutError(f"no answer to {method}")
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_event(self, method: str, seconds: float = 20) -> dict[str, Any]:
        """Returns the parameters of the first event of that name, and forgets it."""
        end = time.monotonic() + seconds
        while True:
            for event in self.events:
                if event.get("method") == method:
                    self.events.remove(event)
                    return event["params"]
            answer = self._receive(end - time.monotonic())
            if answer is None:
                raise TimeoutError(f"no {method}")
            self.events.append(answer)

    def _receive(self, seconds: float) -> dict[str, Any] | None:
        end = time.monotonic() + seconds
        stream = self._answers.fileno()
        while b"\0" not in self._buffer:
            if not select.select([stream], [], [], max(0, end - time.monotonic()))[0]:
                return None
            data = os.read(stream, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, url: str) -> None:
        """Opens a page and waits until it has loaded."""
        self.events.clear()
        loading = self.send("Page.navigate", url=url).get("loaderId")  # none where only the fragment differs
        # The event of a page before may come late, so the one of this very load is waited for.
        while loading:
            event = self.wait_event("Page.lifecycleEvent")
            if event["name"] == "load" and event["loaderId"] == loading:
                break

    def run(self, script: str) -> Any:
        """Returns the value of an expression in the page; a promise is waited for."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Waits until an expression in the page is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.run(f"!!({condition})"):
                return
            time.sleep(0.03)
        raise TimeoutError(f"{condition} did not come true; the page says: {self.run('document.body.innerText')}")

    def key(self, name: str) -> None:
        """Presses a key, such as `1`, `ArrowLeft` or `Enter`."""
        text = {"text": name if len(name) == 1 else "\r"} if len(name) == 1 or name == "Enter" else {}
        code = {"Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}.get(name) or ord(name)
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, **more)

    def tap(self, selector: str) -> None:
        """Touches the middle of an element with a finger."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.run(f"(box => [box.x + box.width / 2, box.y + box.height / 2])({box})")
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def look(self, width: int, height: int, dark: bool = False, mobile: bool = False) -> None:
        """Sets the window's size, the colour scheme and whether it is a phone with a touch screen."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.send("Emulation.setTouchEmulationEnabled", enabled=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self) -> bytes:
        """Returns what is to be seen, as a PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
