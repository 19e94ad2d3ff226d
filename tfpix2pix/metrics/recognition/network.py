"""What a segmentation network is to the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.spec import Colour
from tfpix2pix.metrics.images import Classes, Images, check_images, resize_bilinear, resize_classes


@dataclass(frozen=True)
class SegmentationNetwork:
    """Tells the classes in photos. Anything else that is called alike will do in its place.

    Attributes:
        name: which one, to stand beside an FCN-score.
        predict: uint8 photos `(N, *size, 3)`, RGB -> integer class maps `(N, h, w)`.
        size: height and width that it sees photos at, pixels; `None`: any.
        classes: their names, where they are known.
        palette: their colours, where they are known.
        card: what the JSON beside it says, its held-out metrics among it.
    """

    name: str
    predict: Callable[[Images], Classes]
    size: tuple[int, int] | None = None
    classes: tuple[str, ...] = ()
    palette: tuple[Colour, ...] = ()
    card: dict[str, Any] | None = None

    def __call__(self, photos: Images) -> Classes:
        """Returns the class of each pixel of uint8 photos `(N, H, W, 3)`: integer `(N, H, W)`.

        Photos of another size than the network's are resized to it (bilinear), and the classes back (nearest).

        Raises:
            ValueError: if they aren't photos.
        """
        photos = check_images("photos", photos, channels=3)
        seen = photos if self.size is None else resize_bilinear(photos, self.size)
        height, width = photos.shape[1:3]
        return resize_classes(self.predict(seen), (height, width))
