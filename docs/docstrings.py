"""Shows what stands under `Example:` in a docstring as code; the reader of docstrings knows `Examples:` alone."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Renames the sections while docstrings are collected."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Renames those of one module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
