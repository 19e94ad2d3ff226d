"""Any Keras generator gives the same image in Keras, `translate`, the SavedModel and TFLite."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import generators
from tests.generators import MULTIPLES, filled, output_of
from tfpix2pix import exporting
from tfpix2pix.inference.backends import open_model

pytestmark = pytest.mark.slow

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (extra `lite`)")


def test_half_precision_is_exported_as_full(tmp_path):
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        generator = filled(generators.activations)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    result = exporting.export(generator, tmp_path / "half", formats=["saved_model", "tflite_float32"])
    assert all(row.max_difference < 0.02 for row in result.measured)


@pytest.mark.parametrize("build", list(MULTIPLES), ids=lambda build: build.__name__)
def test_any_generator_gives_the_same_image_in_every_form(build, tmp_path, rng):
    generator = filled(build)
    output = tmp_path / "own"
    exporting.export(generator, output, formats=["saved_model", "tflite_float32"])
    generator.save(tmp_path / "own.keras")
    size = generator.inputs[0].shape[1:3]
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = (output_of(generator, image[np.newaxis].astype(np.float32) / 127.5 - 1)[0] + 1) * 127.5
    signature = tf.saved_model.load(output / "1").signatures["uint8"]
    made = [signature(image=tf.constant(image[np.newaxis]))["translated"][0].numpy()]
    made += [open_model(file).translate(image) for file in (tmp_path / "own.keras", output, output / "1")]
    made.append(open_model(output / "model_float32.tflite").translate(image))
    for one in made:
        assert np.abs(one - np.clip(expected, 0, 255)).max() < 0.51
