"""What tells a run's data from other data: a run resumes on the pairs that it began with, wherever they lie now."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.spec import Encoding, Original, Preprocessing, Source, originals_of

_SPLITS = {"train": "training_pairs", "val": "validation_pairs"}


@dataclass(frozen=True)
class DataDescription:
    """The data of one run.

    Attributes:
        encodings: of input and target, as the networks see them.
        names: of the pairs of train and of val.
        originals: the user's own files behind these pairs; none where they don't come from files.
    """

    encodings: tuple[Encoding, Encoding]
    names: tuple[tuple[str, ...], tuple[str, ...]]
    originals: tuple[list[tuple[Original, ...]], list[tuple[Original, ...]]]

    @classmethod
    def of(cls, preprocessing: Preprocessing, training: Source, validation: Source) -> DataDescription:
        """Describes what a run trains on and is validated on."""
        return cls(
            preprocessing.encodings(training),
            (tuple(training.names), tuple(validation.names)),
            (originals_of(training), originals_of(validation)),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns what `data.json` holds.

        The fingerprint of a split is the SHA-256 of the pairs' names and of the names and sizes of their files. The
        folders that these lie in don't count, and neither does the Unicode form of a name.
        """
        image, target = self.encodings
        return {
            "input": image.to_json(),
            "target": target.to_json(),
            **{key: len(names) for key, names in zip(_SPLITS.values(), self.names, strict=True)},
            "fingerprint": {
                split: _sha256([*names, *(f"{_file_name(file.path)}\0{file.size}" for pair in pairs for file in pair)])
                for split, names, pairs in zip(_SPLITS, self.names, self.originals, strict=True)
            },
        }

    def differences(self, before: Mapping[str, Any]) -> list[str]:
        """Returns a line for each way in which this isn't the data that a run began with.

        Args:
            before: the run's `data.json`, also of version 0.1.
        """
        now = self.to_json()
        lines = [
            f"{name}: {_short(before.get(name))} there, {_short(now[name])} now"
            for name in ("input", "target")
            if _encoding(before.get(name)) != _encoding(now[name])
        ]
        lines += [
            f"{name}: {_short(before.get(name))} there, {now[name]} now"
            for name in _SPLITS.values()
            if before.get(name) != now[name]
        ]
        if "names_sha256" in before:
            return lines + self._differences_to_0_1(before)
        known = before.get("fingerprint")
        for split, digest in now["fingerprint"].items():
            if not isinstance(known, dict) or known.get(split) != digest:
                lines.append(f"{split}: files of other names or sizes")
        return lines

    def _differences_to_0_1(self, before: Mapping[str, Any]) -> list[str]:
        training, validation = self.names
        sizes = [str(file.size) for pairs in self.originals for pair in pairs for file in pair]
        lines = []
        if before["names_sha256"] != _sha256([*training, "", *validation], normal=False):
            lines.append("the pairs of train and val; version 0.1 held out every tenth pair, and now a hash decides")
        if before.get("sizes_sha256") != _sha256(sizes, normal=False):
            lines.append("the sizes of files; version 0.1 took those of prepared images where there were any")
        return [f"begun with version 0.1, and not the same are {line}" for line in lines]


def _sha256(texts: Iterable[str], *, normal: bool = True) -> str:
    text = "\0".join(texts)
    text = unicodedata.normalize("NFC", text) if normal else text
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _file_name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def _encoding(values: Any) -> Encoding | None:
    try:
        return Encoding.from_json(values)
    except (TypeError, ValueError, AttributeError):
        return None


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
