"""What every opened generator has in common: arrays in, arrays out."""

from __future__ import annotations

import abc
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines import encode, ops
from pipelines.spec import Encoding
from tfpix2pix.inference import tiling

Floats = npt.NDArray[np.float32]
Seed = int | tuple[int, int]
_logger = logging.getLogger(__name__)
_LARGEST_VALUE = 1.001  # of what a network sees; rounding may leave [-1, 1] by a little
_LARGEST_SEED = 2**31 - 1


class Model(abc.ABC):
    """A generator that was opened, whatever kind of file it came from.

    Attributes:
        input_encoding: what its input holds.
        target_encoding: what its output means.
        multiple: what it pads height and width to a multiple of; `None` where it takes one size only.
        size: the only height and width that the network takes, to which smaller images are padded; `None`: any.
        noise: whether it can draw the paper's noise.
    """

    input_encoding: Encoding
    target_encoding: Encoding
    multiple: int | None = None
    size: tuple[int, int] | None = None
    noise: bool = False
    _noted_tiles = False
    _margins: Mapping[int, int | None] = MappingProxyType({})  # by the side of tiles, once it is known

    @abc.abstractmethod
    def run(self, images: Floats, seed: tuple[int, int] | None = None) -> Floats:
        """Maps float32 `(B, H, W, Cin)` to `(B, H, W, Cout)`, both in [-1, 1], of no more than `size`."""

    def __call__(self, images: npt.ArrayLike, seed: Seed | None = None) -> Floats:
        """Returns the network's values for images.

        Args:
            images: `(B, H, W, C)`, or `(H, W, C)` for one: floats in [-1, 1], as the network sees them; or whole
                numbers of the input's dtype, as files hold them.
            seed: what the noise is drawn from, whole numbers from 0 to 2^31 - 1; `None`: no noise.

        Returns:
            float32 `(B, H, W, Cout)` in [-1, 1], or `(H, W, Cout)` for one image.

        Raises:
            ValueError: if the images have another shape, dtype or range, or there is no such noise.
        """
        array = np.asarray(images)
        batch = array[np.newaxis] if array.ndim == 3 else array
        seen = self._as_network(batch) if batch.dtype.kind == "f" else self._seen(batch)
        output = self.run(seen, self._seed(seed))
        return output[0] if array.ndim == 3 else output

    def translate(
        self,
        image: npt.ArrayLike,
        *,
        seed: Seed | None = None,
        tile: int = 2048,
        size: tuple[int, int] | None = None,
    ) -> npt.NDArray[Any]:
        """Translates images of any height and width.

        Args:
            image: `(H, W, C)` or `(B, H, W, C)` of the input's dtype and units: for most models uint8 from 0 to 255.
                Where that dtype is a whole number, floats are taken as the network sees them, in [-1, 1].
            seed: what the noise is drawn from, whole numbers from 0 to 2^31 - 1; `None`: no noise. Each image of a
                batch gets the noise that it would have alone.
            tile: larger images are translated in overlapping tiles of at most this side, pixels; 0 never tiles, unless
                the network takes one size only.
            size: height and width that images are scaled to before, and back from afterwards.

        Returns:
            `(H, W, C)` or `(B, H, W, C)` in the target's dtype and units.

        Raises:
            ValueError: if the images have another shape, dtype or range, or there is no such noise.
        """
        array = np.asarray(image)
        batch = array[np.newaxis] if array.ndim == 3 else array
        if batch.dtype.kind == "f" and self.input_encoding.dtype != "float32":
            if size is not None:
                raise ValueError("`size` scales images as files hold them, not a network's values.")
            seen = self._as_network(batch)
        else:
            seen = self._seen(batch, size)
        values = self._values(seen, self._seed(seed), tile)
        made = encode.to_image(tf.constant(values), self.target_encoding, tf.constant(seen))
        if size is not None:
            nearest = self.target_encoding.kind == "labels"
            made = tf.stack([ops.resize(each, batch.shape[1:3], nearest=nearest) for each in made])
        result = np.asarray(made)
        return result[0] if array.ndim == 3 else result

    def _values(self, seen: Floats, seed: tuple[int, int] | None, tile: int) -> Floats:
        height, width = self.size or (tile, tile)
        if not height or (seen.shape[1] <= height and seen.shape[2] <= width):
            # Noise is drawn for a whole batch, so that of an image would depend on the others.
            return self.run(seen) if seed is None else self._one_by_one(seen, seed)
        return np.stack([self._tiled(image, seed, (height, width)) for image in seen])

    def _one_by_one(self, seen: Floats, seed: tuple[int, int]) -> Floats:
        return np.concatenate([self.run(image[np.newaxis], seed) for image in seen])

    def _tiled(self, image: Floats, seed: tuple[int, int] | None, tile: tuple[int, int]) -> Floats:
        def run(window: Floats) -> Floats:
            return self.run(window, seed)

        if self.size is None and self.multiple is not None and seed is None:
            side = min(tile)
            if side not in self._margins:
                self._margins = {**self._margins, side: tiling.margin_of(run, image, self.multiple, side)}
            if (margin := self._margins[side]) is not None:
                return tiling.translate_exactly(run, image, tile, margin, self.multiple)
        if not self._noted_tiles:
            self._noted_tiles = True
            whole = "" if self.size else " (`tile` 0)"
            _logger.warning(
                "Images larger than %dx%d px are translated in overlapping tiles. This network looks at more of an "
                "image than a tile shows, so results differ from those of a whole image%s or a smaller one (`size`).",
                *tile,
                whole,
            )
        return tiling.translate_tiled(run, image, tile)

    def _as_network(self, images: npt.NDArray[Any]) -> Floats:
        self._check_shape(images, self.input_encoding.depth)
        if not np.abs(images).max() <= _LARGEST_VALUE:
            raise ValueError(
                f"Floats are taken as the network sees them, in [-1, 1]. Received values from {images.min():g} to "
                f"{images.max():g}; images as files hold them are {self.input_encoding.dtype} arrays."
            )
        return images.astype(np.float32)

    def _seen(self, images: npt.NDArray[Any], size: tuple[int, int] | None = None) -> Floats:
        encoding = self.input_encoding
        self._check_shape(images, encoding.channels)
        if images.dtype != encoding.dtype:
            raise ValueError(f"This model takes {encoding.dtype} images. Received: {images.dtype}")
        batch = tf.constant(images)
        if size is not None:
            batch = tf.stack([ops.fit(image, encoding, size, "stretch") for image in batch])
        elif encoding.kind == "labels":
            batch = encode.classes(batch, encoding)
        return np.asarray(encode.to_network(batch, encoding))

    def _check_shape(self, images: npt.NDArray[Any], channels: int) -> None:
        if images.ndim != 4 or 0 in images.shape:
            raise ValueError(
                f"Images are (H, W, {channels}) or (B, H, W, {channels}), of at least one pixel. "
                f"Received: {images.shape}"
            )
        if images.shape[-1] != channels:
            raise ValueError(
                f"The image has {images.shape[-1]} channels, this model takes {channels}. Received: {images.shape}"
            )

    def _seed(self, seed: Seed | None) -> tuple[int, int] | None:
        if seed is None:
            return None
        if not self.noise:
            raise ValueError("This model draws no noise, so it takes no `seed`.")
        first, second = (seed, 0) if isinstance(seed, int) else seed
        if not (0 <= first <= _LARGEST_SEED and 0 <= second <= _LARGEST_SEED):
            raise ValueError(f"`seed` must be from 0 to {_LARGEST_SEED}. Received: seed={seed}")
        return first, second
