"""The exceptions that a user of this package can catch; those of reading data are `pipelines.DatasetError`'s."""

from __future__ import annotations


class ConfigError(ValueError):
    """A value or a combination of values is not allowed; the message says what was expected and what came."""
