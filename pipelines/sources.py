"""Random access to pairs: pictures side by side in one file, two folders matched by name, or drawn by a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence, Set
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import check, decode, ops
from pipelines.spec import RGB, DatasetError, Encoding, Source

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", *decode.ARRAYS)
Sides = tuple[Encoding, Encoding]


class SideBySide:
    """Files that hold side A on the left and side B on the right, as the public archives do.

    Args:
        files: the pictures; sorted here by name.
        sides: what the two halves hold; they have the same channels and bits.
        unmatched: one line for every file that could not be used.
    """

    def __init__(self, files: Sequence[Path], sides: Sides = (RGB, RGB), unmatched: Sequence[str] = ()) -> None:
        self._files = sorted(files)
        self.unmatched = tuple(unmatched)
        self.names = tuple(file.stem for file in self._files)
        self.sides = sides
        self._paths = _path_tensor(self._files)

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return ops.split_side_by_side(decode.read(self._paths[index], self.sides[0]))

    def faults(self) -> list[str]:
        return [*self.unmatched, *check.side_by_side_faults(self._files, self.sides[0])]

    def subset(self, indices: Sequence[int]) -> SideBySide:
        """Returns some of the pairs as a source of their own."""
        return SideBySide([self._files[index] for index in indices], self.sides, self.unmatched)

    def files(self) -> list[tuple[Path, ...]]:
        """Returns the files of each pair."""
        return [(file,) for file in self._files]


class TwoFolders:
    """Files of side A and side B in folders of their own; the endings of a pair's two files may differ.

    Args:
        pairs: the file of side A and that of side B for each pair; sorted here by name.
        unmatched: one line for every file that was left out since it has no partner.
        sides: what the two files hold.
        root: names are told from here, if the files lie in sub-folders of it.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Path, Path]],
        unmatched: Sequence[str] = (),
        sides: Sides = (RGB, RGB),
        root: Path | None = None,
    ) -> None:
        self._pairs = sorted(pairs)
        self.unmatched = tuple(unmatched)
        self._root = root
        self.names = _names([a for a, _ in self._pairs], root)
        self.sides = sides
        self._paths_a = _path_tensor([a for a, _ in self._pairs])
        self._paths_b = _path_tensor([b for _, b in self._pairs])

    @classmethod
    def matched(cls, folder_a: Path, folder_b: Path, sides: Sides = (RGB, RGB)) -> TwoFolders:
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
        return cls([(side_a[stem], side_b[stem]) for stem in common], unmatched, sides)

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return (
            decode.read(self._paths_a[index], self.sides[0]),
            decode.read(self._paths_b[index], self.sides[1]),
        )

    def faults(self) -> list[str]:
        return [*self.unmatched, *check.two_folder_faults(self._pairs, self.sides)]

    def subset(self, indices: Sequence[int]) -> TwoFolders:
        """Returns some of the pairs as a source of their own."""
        return TwoFolders([self._pairs[index] for index in indices], self.unmatched, self.sides, self._root)

    def files(self) -> list[tuple[Path, ...]]:
        """Returns the files of each pair."""
        return list(self._pairs)


class Photos:
    """Single pictures, each of which is both sides of its pair; the sides' encodings tell them apart.

    Args:
        files: the pictures; sorted here by name.
        sides: what each side shows of a picture; both have the same channels and bits.
        unmatched: one line for every file that could not be used.
        root: names are told from here, if the files lie in sub-folders of it.
    """

    def __init__(
        self,
        files: Sequence[Path],
        sides: Sides = (RGB, RGB),
        unmatched: Sequence[str] = (),
        root: Path | None = None,
    ) -> None:
        self._files = sorted(files)
        self.unmatched = tuple(unmatched)
        self._root = root
        self.names = _names(self._files, root)
        self.sides = sides
        self._paths = _path_tensor(self._files)

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        picture = decode.read(self._paths[index], self.sides[0])
        return picture, picture

    def faults(self) -> list[str]:
        return [*self.unmatched, *check.photo_faults(self._files, self.sides[0])]

    def subset(self, indices: Sequence[int]) -> Photos:
        """Returns some of the pictures as a source of their own."""
        return Photos([self._files[index] for index in indices], self.sides, self.unmatched, self._root)

    def files(self) -> list[tuple[Path, ...]]:
        """Returns the files of each pair."""
        return [(file,) for file in self._files]


class Drawn:
    """Pairs that a function draws; each is kept in memory once it has been drawn.

    Args:
        draw: takes a pair's index, returns sides A and B, uint8 `(H, W, 3)`; must be pure.
        names: one a pair.
        sides: what the two pictures hold.
    """

    def __init__(
        self,
        draw: Callable[[int], tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
        names: Sequence[str],
        sides: Sides = (RGB, RGB),
    ) -> None:
        self._draw = draw
        self._drawn: dict[int, tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]] = {}
        self.names = tuple(names)
        self.sides = sides

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        side_a, side_b = tf.numpy_function(self._pair, [index], (tf.uint8, tf.uint8), stateful=False)
        return tf.ensure_shape(side_a, (None, None, 3)), tf.ensure_shape(side_b, (None, None, 3))

    def faults(self) -> list[str]:
        return []

    def files(self) -> list[tuple[Path, ...]]:
        return []

    def _pair(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        index = int(index)
        if index not in self._drawn:
            self._drawn[index] = self._draw(index)
        return self._drawn[index]


def without(source: Source, left_out: Set[Path]) -> Source:
    """Returns a source without the pairs that have one of these files, and without what was said of those files."""
    if not isinstance(source, SideBySide | TwoFolders | Photos):
        return source
    paths = {file.resolve() for file in left_out}  # however they are spelt
    kept = [i for i, files in enumerate(source.files()) if paths.isdisjoint(file.resolve() for file in files)]
    rest = source.subset(kept)
    rest.unmatched = tuple(line for line in source.unmatched if Path(line.split(": ")[0]).resolve() not in paths)
    return rest


def list_images(folder: Path) -> list[Path]:
    """Returns the pictures that lie directly in `folder`, sorted by name; hidden files are passed over."""
    with os.scandir(folder) as entries:  # it knows which are files; asking each costs a second for 100,000
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".") and entry.is_file()
        ]
    return [folder / name for name in sorted(names)]


def _by_stem(folder: Path, unmatched: list[str]) -> dict[str, Path]:
    """Returns the folder's pictures by name without ending; a name that stands twice goes to `unmatched`."""
    files: dict[str, Path] = {}
    for file in list_images(folder):
        if file.stem in files:
            unmatched.append(f"{file}: the same name as {files[file.stem].name}")
        files.setdefault(file.stem, file)
    return files


def _names(files: Sequence[Path], root: Path | None) -> tuple[str, ...]:
    if root is None:
        return tuple(file.stem for file in files)
    return tuple(file.relative_to(root).with_suffix("").as_posix() for file in files)


def _path_tensor(files: Sequence[Path]) -> tf.Tensor:
    return tf.constant([os.fsencode(file) for file in files])
