"""One photo, from the user's file to the file that is trained on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines.pillow import open_picture
from pipelines.spec import MAX_PIXELS, Preprocessing

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_ORIENTATION = 0x0112  # EXIF
_FORMATS = {".jpg": "JPEG", ".png": "PNG"}


def ending(photo: Path) -> str:
    """Returns the ending of the file that is made of a photo: PNG stays PNG, all else becomes JPEG."""
    return ".png" if photo.suffix.lower() == ".png" else ".jpg"


def shrink(size: tuple[int, int], photo: Path, target: Path) -> None:
    """Writes a photo upright, opaque, and no larger than training needs; a photo that is all that already is copied.

    Args:
        size: height and width that are trained at. The photo is shrunk until it just covers them after enlarging for
            the jitter (286x286 for 256x256); it keeps its shape, and is never enlarged.
        photo: any picture that Pillow reads.
        target: `.png`, or `.jpg`, which is written at quality 95 without subsampling of colour.

    Raises:
        ValueError: if the photo can't be read; names it and says why.
        OSError: if `target` can't be written.
    """
    try:
        with open_picture(photo) as file:
            picture = _opened(file, Preprocessing(*size).enlarged)
            is_as_it_was = picture is file and _FORMATS[target.suffix] == file.format
    except Exception as error:  # Pillow's readers raise anything on broken files
        raise ValueError(f"{photo}: {_reason(error)}") from error
    if is_as_it_was:
        shutil.copyfile(photo, target)
    else:
        picture.save(target, quality=95, subsampling=0)  # PNG has neither, and passes them over


def _opened(file: Image.Image, needed: tuple[int, int]) -> Image.Image:
    """Returns an RGB picture that just covers the height and width, or the loaded file if it is one already."""
    if file.width * file.height > MAX_PIXELS:
        raise ValueError(f"{file.width}x{file.height} px: more than {MAX_PIXELS // 1_000_000} megapixels")
    orientation = file.getexif().get(_ORIENTATION, 1)
    height, width = needed if orientation < 5 else needed[::-1]  # 5 to 8 lie on their side
    scale = max(height / file.height, width / file.width)
    # A JPEG can be decoded at 1/2, 1/4 or 1/8. Twice what is needed is several times faster than all, and leaves the
    # filter below enough to work on.
    file.draft(None, (round(2 * scale * file.width), round(2 * scale * file.height)))
    file.load()
    if scale >= 1 and orientation == 1 and file.mode in ("L", "RGB") and not file.has_transparency_data:
        return file
    picture = _opaque(ImageOps.exif_transpose(file))
    scale = max(needed[0] / picture.height, needed[1] / picture.width)
    if scale >= 1:
        return picture
    return picture.resize((round(scale * picture.width), round(scale * picture.height)), Image.Resampling.LANCZOS)


def _opaque(picture: Image.Image) -> Image.Image:
    """Returns a picture in RGB, what is transparent on white, the upper 8 of 16 bits."""
    if picture.mode == "F":
        raise ValueError("floating-point values, whose white isn't known")
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 256).astype(np.uint8)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"a picture of more than {MAX_PIXELS // 1_000_000} megapixels"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that can be read"
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or str(error)
    return str(error) if type(error) is ValueError else "broken or cut off"
