"""What the web pages of this package have in common: their parts, their colours, and that no text becomes a script."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from importlib import resources


@functools.cache
def resource(package: str, name: str) -> str:
    """Returns the text of a file that lies in a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def style(package: str) -> str:
    """Returns a page's style, its package's `page.css`, behind the colours that all pages share."""
    return resource(__name__, "colours.css") + "\n" + resource(package, "page.css")


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
