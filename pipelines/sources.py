"""Random access to pairs: pictures side by side in one file, two folders matched by name, or drawn by a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import check, ops
from pipelines.spec import DatasetError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


class SideBySide:
    """Files that hold side A on the left and side B on the right, as the public archives do.

    Args:
        files: the pictures; sorted here by name.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = sorted(files)
        self.names = tuple(file.stem for file in self._files)
        self._paths = _path_tensor(self._files)

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return ops.split_side_by_side(ops.decode(tf.io.read_file(self._paths[index])))

    def faults(self) -> list[str]:
        return check.side_by_side_faults(self._files)

    def subset(self, indices: Sequence[int]) -> SideBySide:
        """Returns some of the pairs as a source of their own."""
        return SideBySide([self._files[index] for index in indices])


class TwoFolders:
    """Files of side A and side B in folders of their own; the endings of a pair's two files may differ.

    Args:
        pairs: the file of side A and that of side B for each pair; sorted here by name.
        unmatched: one line for every file that was left out since it has no partner.
    """

    def __init__(self, pairs: Sequence[tuple[Path, Path]], unmatched: Sequence[str] = ()) -> None:
        self._pairs = sorted(pairs)
        self._unmatched = list(unmatched)
        self.names = tuple(a.stem for a, _ in self._pairs)
        self._paths_a = _path_tensor([a for a, _ in self._pairs])
        self._paths_b = _path_tensor([b for _, b in self._pairs])

    @classmethod
    def matched(cls, folder_a: Path, folder_b: Path) -> TwoFolders:
        """Pairs the pictures of two folders by name.

        Raises:
            DatasetError: if no name stands in both folders.
        """
        unmatched: list[str] = []
        side_a, side_b = (_by_stem(folder, unmatched) for folder in (folder_a, folder_b))
        for own, folder, others in ((side_a, folder_b, side_b), (side_b, folder_a, side_a)):
            unmatched += [f"{own[stem]}: no picture of that name in {folder}" for stem in own if stem not in others]
        common = side_a.keys() & side_b.keys()
        if not common:
            raise DatasetError(
                f"No picture of {folder_a} ({len(side_a)} pictures) has a partner of the same name in {folder_b} "
                f"({len(side_b)} pictures). Name the two pictures of a pair alike: A/1.jpg and B/1.png."
            )
        return cls([(side_a[stem], side_b[stem]) for stem in common], unmatched)

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return (
            ops.decode(tf.io.read_file(self._paths_a[index])),
            ops.decode(tf.io.read_file(self._paths_b[index])),
        )

    def faults(self) -> list[str]:
        return self._unmatched + check.two_folder_faults(self._pairs)

    def subset(self, indices: Sequence[int]) -> TwoFolders:
        """Returns some of the pairs as a source of their own."""
        return TwoFolders([self._pairs[index] for index in indices], self._unmatched)


class Drawn:
    """Pairs that a function draws; each is kept in memory once it has been drawn.

    Args:
        draw: takes a pair's index, returns sides A and B, uint8 `(H, W, 3)`; must be pure.
        names: one a pair.
    """

    def __init__(
        self, draw: Callable[[int], tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]], names: Sequence[str]
    ) -> None:
        self._draw = draw
        self._drawn: dict[int, tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]] = {}
        self.names = tuple(names)

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        side_a, side_b = tf.numpy_function(self._pair, [index], (tf.uint8, tf.uint8), stateful=False)
        return tf.ensure_shape(side_a, (None, None, 3)), tf.ensure_shape(side_b, (None, None, 3))

    def faults(self) -> list[str]:
        return []

    def _pair(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        index = int(index)
        if index not in self._drawn:
            self._drawn[index] = self._draw(index)
        return self._drawn[index]


def list_images(folder: Path) -> list[Path]:
    """Returns the pictures that lie directly in `folder`, sorted by name; hidden files are passed over."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _by_stem(folder: Path, unmatched: list[str]) -> dict[str, Path]:
    """Returns the folder's pictures by name without ending; a name that stands twice goes to `unmatched`."""
    files: dict[str, Path] = {}
    for file in list_images(folder):
        if file.stem in files:
            unmatched.append(f"{file}: the same name as {files[file.stem].name}")
        files.setdefault(file.stem, file)
    return files


def _path_tensor(files: Sequence[Path]) -> tf.Tensor:
    return tf.constant([os.fsencode(file) for file in files])
