"""The trained models that come with the package, by their names."""

from __future__ import annotations

from pathlib import Path

from pipelines.console import did_you_mean

_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE / "saved_models", _PACKAGE.parent / "saved_models")  # of an installed package, and of a clone


def available() -> dict[str, Path]:
    """Returns the folders of the models by name, in the order of the names."""
    found = {file.parent.name: file.parent for place in reversed(_PLACES) for file in place.glob("*/config.json")}
    return dict(sorted(found.items()))


def located(model: Path | str) -> Path:
    """Returns where a model lies: a path as it is, and the package's own folder for a name that is no path here."""
    path = Path(model)
    named = len(path.parts) == 1 and not path.exists()
    return available().get(path.name, path) if named else path


def missing(model: Path) -> str:
    """Returns what to say of a model that `located` doesn't find."""
    known = available()
    hint = did_you_mean(model.name, known) or f"The models that come with the package: {', '.join(known)}."
    return f"The model {model} does not exist. {hint}"
