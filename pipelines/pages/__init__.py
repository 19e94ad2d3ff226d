"""What all web pages share: their style, how they are filled, and that no text becomes markup or a script."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
from importlib import resources


@functools.cache
def resource(package: str, name: str) -> str:
    """Returns the text of a file that lies in a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def style(package: str, *shared: str) -> str:
    """Returns a page's style: the base of all pages, the shared sheets that it names, and its package's `page.css`."""
    return "\n".join([*(resource(__name__, name) for name in ("base.css", *shared)), resource(package, "page.css")])


def printable(text: str) -> str:
    """Returns a text that any terminal and any file can hold: names of files can have any bytes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def escaped(text: str) -> str:
    """Returns any text as HTML that shows it, in an element or in a quoted attribute."""
    return html.escape(printable(text))


def escaped_command(command: str) -> str:
    """Returns a command as HTML whose lines may break between two flags; report.css keeps them from breaking inside."""
    return " ".join(f"<span>{escaped(word)}</span>" for word in command.split(" "))


def fill(template: str, **values: str) -> str:
    """Replaces each `{{name}}` of a template; what a value holds is left as it is.

    Raises:
        KeyError: if a name has no value.
    """
    first, *parts = template.split("{{")
    pieces = [part.partition("}}") for part in parts]
    return first + "".join(values[name] + rest for name, _, rest in pieces)


def content_hash(text: str) -> str:
    """Returns the hash by which a page's Content-Security-Policy allows a script or a style that stands in it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def script_json(value: object) -> str:
    """Returns a value as JSON that may stand in a script element."""
    # A "<" would let a text end the script that it is in.
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
