"""The types of building, and the classes that their parts are labelled with."""

from dataclasses import dataclass

Colour = tuple[float, float, float]  # red, green, blue in 0..1

# The colours of the label images that circulate as pix2pix "facades", in the order of the CMP base's class numbers.
# As there, "cornice" is the panel above a window and "molding" the stripe that runs across the whole facade.
CLASSES: dict[str, tuple[int, int, int]] = {
    "background": (0, 0, 222),
    "facade": (0, 48, 255),
    "window": (0, 128, 255),
    "door": (0, 207, 255),
    "cornice": (32, 255, 224),
    "sill": (112, 255, 143),
    "balcony": (192, 255, 64),
    "blind": (255, 240, 0),
    "deco": (255, 160, 0),
    "molding": (255, 80, 0),
    "pillar": (255, 0, 0),
    "shop": (174, 0, 0),
}


@dataclass(frozen=True)
class Kind:
    """What one building type may look like: inclusive ranges, the chance of each optional feature, colours."""

    storeys: tuple[int, int]
    bays: tuple[int, int]
    width: tuple[float, float]  # of a window, as a share of its bay
    height: tuple[float, float]  # of a window, as a share of its storey
    odds: dict[str, float]
    walls: tuple[Colour, ...]
    trim: Colour  # sills, cornices, bands, pillars


KINDS: dict[str, Kind] = {
    "brick": Kind(
        (3, 5),
        (2, 5),
        (0.42, 0.52),
        (0.52, 0.60),
        {"head": 0.9, "sill": 1.0, "band": 0.2, "shop": 0.4, "balcony": 0.2, "chimney": 0.7},
        ((0.51, 0.31, 0.25), (0.46, 0.28, 0.23), (0.56, 0.37, 0.29)),
        (0.80, 0.75, 0.66),
    ),
    "tenement": Kind(
        (4, 6),
        (3, 7),
        (0.42, 0.52),
        (0.50, 0.58),
        {
            "head": 0.9,
            "sill": 0.9,
            "band": 0.7,
            "shop": 0.4,
            "balcony": 0.65,
            "deco": 0.6,
            "pillar": 0.15,
            "roof": 0.6,
            "chimney": 0.5,
        },
        ((0.82, 0.70, 0.48), (0.84, 0.76, 0.60), (0.80, 0.64, 0.45), (0.72, 0.72, 0.58)),
        (0.90, 0.86, 0.76),
    ),
    "palace": Kind(
        (2, 4),
        (4, 7),
        (0.38, 0.46),
        (0.50, 0.58),
        {"head": 1.0, "sill": 0.8, "band": 1.0, "balcony": 0.5, "deco": 0.8, "pillar": 0.85, "roof": 0.4},
        ((0.76, 0.68, 0.55), (0.73, 0.67, 0.58), (0.77, 0.71, 0.61)),
        (0.84, 0.78, 0.68),
    ),
    "modern": Kind(
        (3, 6),
        (3, 6),
        (0.66, 0.82),
        (0.54, 0.66),
        {"sill": 0.3, "roller": 0.7, "balcony": 0.55, "shop": 0.5},
        ((0.72, 0.73, 0.73), (0.84, 0.83, 0.80), (0.74, 0.72, 0.68)),
        (0.55, 0.56, 0.57),
    ),
    "shophouse": Kind(
        (2, 4),
        (2, 4),
        (0.32, 0.42),
        (0.50, 0.60),
        {
            "head": 0.4,
            "sill": 1.0,
            "shutter": 0.85,
            "shop": 1.0,
            "band": 0.3,
            "balcony": 0.3,
            "roof": 0.8,
            "chimney": 0.6,
            "deco": 0.2,
        },
        ((0.86, 0.83, 0.76), (0.84, 0.74, 0.64), (0.74, 0.78, 0.76), (0.86, 0.78, 0.58)),
        (0.88, 0.86, 0.80),
    ),
}
