"""AutoGraph where it is wanted: to convert this project's own functions takes longer than all else of tracing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

_OWN = ("pipelines", "tfpix2pix")

unconverted = tf.autograph.experimental.do_not_convert  # for functions without `if` and `for` over tensors


def converted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function as it can be called from an unconverted one.

    A user's may branch on tensors in plain Python, as in any `tf.function`; this project's own are returned as they
    are, and so is any where nothing is traced.

    Args:
        function: a function, or a method of any object.
    """
    modules = (getattr(function, "__module__", None), type(getattr(function, "__self__", function)).__module__)
    own = all((module or "").split(".")[0] in (*_OWN, "builtins") for module in modules)
    return function if own or tf.executing_eagerly() else tf.function(function)
