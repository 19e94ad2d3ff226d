"""Pictures and files that the serving tests send."""

import io
import zlib

import numpy as np
from PIL import Image

NAME = "facade"  # of the model
WITHOUT = "pip install grpcio && pip install --no-deps tensorflow-serving-api"


def random_picture(height, width, channels=3, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def file_bytes(height, width, ending="png", seed=0):
    file = io.BytesIO()
    Image.fromarray(random_picture(height, width, seed=seed)).save(file, ending)
    return file.getvalue()


def bomb(side=12000):
    """A PNG of 18 kB and 144 megapixels: one bit a pixel, all black."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    data = zlib.compress(bytes(side * (1 + side // 8)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
