import json

import keras
import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipelines import encode
from pipelines.spec import RGB, Encoding
from tests.exports import little_run
from tfpix2pix import exporting
from tfpix2pix.errors import ConfigError
from tfpix2pix.exporting import examples

RED, ORANGE, BLUE, GREY = (250, 20, 20), (250, 140, 20), (20, 60, 220), (128, 128, 130)


def drawing(*colours, size=64):
    """A white square with discs in it whose edges are antialiased."""
    image = Image.new("RGB", (4 * size, 4 * size), "white")
    for number, colour in enumerate(colours):
        place = 4 * number * size // len(colours)
        ImageDraw.Draw(image).ellipse((place, 10, place + 4 * size // len(colours) - 8, 200), fill=colour)
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def test_colours_of_drawings_are_found_greys_first_and_then_by_hue():
    images = np.stack([drawing(BLUE, RED), drawing(ORANGE, GREY), drawing(RED)])
    assert examples.flat_colours(images) == [(255, 255, 255), GREY, RED, ORANGE, BLUE]


def test_photos_and_lines_have_none(rng):
    photo = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    lines = np.stack([drawing((0, 0, 0)), drawing((0, 0, 0), (0, 0, 0))])
    assert [examples.flat_colours(images) for images in (photo, lines, lines[..., :1])] == [[], [], []]


@pytest.mark.parametrize(
    "encoding",
    [
        RGB,
        Encoding(channels=1),
        Encoding(kind="labels", palette=((255, 255, 255), RED, BLUE)),
        Encoding(palette=((255, 255, 255), RED, BLUE)),  # label maps that are seen as colours
    ],
    ids=["colour", "grey", "labels", "colours"],
)
def test_examples_are_the_inputs(tmp_path, encoding):
    images = np.stack([drawing(RED, BLUE), drawing(BLUE), drawing(RED)])
    if encoding.kind == "labels":
        palette = np.array(encoding.palette, int)
        near = np.abs(images[..., None, :].astype(int) - palette).sum(-1).argmin(-1)
        seen, images = encode.to_network(near[..., None].astype(np.uint8), encoding), palette[near]
    else:
        images = images[..., : encoding.channels]
        seen = encode.to_network(images, encoding)
    found = examples.write(seen.numpy(), encoding, 2, tmp_path)
    assert found["examples"] == ["examples/1.png", "examples/2.png"]
    assert bool(found["colours"]) == (encoding == RGB)
    for name, image in zip(found["examples"], (images[0], images[2]), strict=True):  # evenly spread
        with Image.open(tmp_path / name) as written:
            assert np.array_equal(np.asarray(written).reshape(image.shape), image)


@pytest.mark.parametrize("encoding", [Encoding(channels=4), Encoding(dtype="uint16")])
def test_what_no_browser_shows_is_left_out(tmp_path, encoding):
    assert examples.write(np.zeros((2, 8, 8, encoding.depth), np.float32), encoding, 2, tmp_path) == {
        "examples": [],
        "colours": [],
    }
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_export_keeps_as_many_as_it_is_told(tmp_path, tmp_path_factory):
    run, output = little_run(tmp_path_factory.mktemp), tmp_path / "little"
    assert exporting.export(run, output, formats=["saved_model"], samples=1, examples=5).examples == 1  # there is one
    assert json.loads((output / "config.json").read_text())["examples"] == ["examples/1.png"]
    assert [file.name for file in (output / "examples").iterdir()] == ["1.png"]
    assert exporting.export(run, output, formats=["saved_model"], samples=1, examples=0).examples == 0
    assert json.loads((output / "config.json").read_text())["examples"] == []
    assert not (output / "examples").exists()
    with pytest.raises(ConfigError):
        exporting.export(run, output, formats=["saved_model"], examples=-1)
    generator = keras.models.load_model(run / "generator.keras")
    assert exporting.export(generator, tmp_path / "other", formats=["saved_model"], samples=1).examples == 0  # no data
