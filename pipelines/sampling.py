"""Picks some of many, where looking at all would take too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def spread(items: Sequence[Any], most: int = 64) -> list[Any]:
    """Returns at most `most` of some items, evenly spread, the first and the last among them."""
    places = np.unique(np.linspace(0, len(items) - 1, most).astype(int)) if items else ()
    return [items[place] for place in places]
