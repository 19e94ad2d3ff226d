"""What the verbs share on the command line. Imports no TensorFlow, so that `--help` answers at once."""

from __future__ import annotations

import os


def quieten_tensorflow() -> None:
    """Keeps TensorFlow's start-up notes out of the output, unless the user asks for them; call before its import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
