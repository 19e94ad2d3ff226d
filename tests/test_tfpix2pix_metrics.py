import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.spec import Encoding
from tfpix2pix.errors import ConfigError
from tfpix2pix.metrics import bootstrap, fcn_score, lab, registry, segmentation, ssim
from tfpix2pix.metrics.bias import bias
from tfpix2pix.metrics.images import resize_classes
from tfpix2pix.metrics.l1 import l1
from tfpix2pix.metrics.metric import ImageMetric, MetricInfo, Samples
from tfpix2pix.metrics.psnr import psnr


def flat(value, size=16, count=1):
    return np.full((count, size, size, 3), value, np.uint8)


def some(rng, count=2, size=48):
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


# ---------------------------------------------------------------- of each image


def test_l1_and_psnr_by_hand():
    output, target = flat(0, count=3), flat(0, count=3)
    target[0] = 255
    target[1, 0, 0, 0] = 51  # one of 16 * 16 * 3 values: 51 * 2/255 = 0.4 on [-1, 1]
    np.testing.assert_allclose(l1(output, target), [2.0, 0.4 / 768, 0.0], rtol=1e-12)
    # MSE 255^2; 51^2 / 768 = (255/5)^2 / 768.
    np.testing.assert_allclose(psnr(output, target), [0.0, 10 * np.log10(25 * 768), np.inf], rtol=1e-12)
    np.testing.assert_array_equal(l1(target, output), l1(output, target))
    assert l1(output, target).dtype == np.float64


def test_l1_is_that_of_training(rng):
    from pipelines import encode
    from tfpix2pix.losses import L1, ForwardPass

    output, target = some(rng), some(rng)
    seen, made = (encode.to_network(tf.constant(x), Encoding()) for x in (target, output))
    expected = L1()(ForwardPass(seen, seen, made))
    np.testing.assert_allclose(l1(output, target), expected, rtol=1e-5)


def test_mean_error_tells_a_shift_from_noise(rng):
    target = flat(100, count=2)
    output = target.copy()
    output[0] += 51  # all of it 0.4 too bright on [-1, 1]
    signs = rng.permutation(np.repeat([1, -1], target[1].size // 2)).reshape(target[1].shape)
    output[1] = target[1] + 51 * signs
    np.testing.assert_allclose(l1(output, target), [0.4, 0.4], rtol=1e-12)
    np.testing.assert_allclose(bias(output, target), [0.4, 0.0], atol=1e-12)
    np.testing.assert_allclose(bias(target, output), [-0.4, 0.0], atol=1e-12)


# ---------------------------------------------------------------- metrics by name


def test_every_metric_by_name_measures_and_an_unknown_name_lists_the_known_ones(rng):
    samples = Samples(*(some(rng, size=64) for _ in range(3)))
    for name in registry.METRICS:
        measured = registry.load(name).measure(samples, 10)
        assert all(row.metric.better in ("lower", "higher", "zero", "real") for row in measured.rows)
        assert bool(measured.rows) == (name not in ("fid", "kid", "classes", "fcn_score"))
    with pytest.raises(ConfigError) as error:
        registry.load("lpips")
    assert all(name in str(error.value) for name in registry.METRICS)
    own = ImageMetric(MetricInfo("mine", "Mine", "higher"), l1)
    assert registry.load(own) is own
    with pytest.raises(ConfigError, match="measure"):
        registry.load(l1)


def test_an_image_metric_is_the_mean_of_its_finite_values():
    values = np.array([1.0, np.inf, 3.0])
    metric = ImageMetric(MetricInfo("mine", "Mine", "higher"), lambda output, target: values[: len(output)])
    measured = metric.measure(Samples(flat(0, count=3), flat(0, count=3)), 10)
    assert measured.rows[0].value == 2
    assert len(measured.notes) == 1
    ((info, found),) = measured.values
    assert info is metric.info
    np.testing.assert_array_equal(found, values)
    assert metric.measure(Samples(flat(0), flat(0)), 10).rows[0].low is None


def test_ssim_of_flat_images_is_its_luminance_term():
    # Without variance SSIM = (2ab + C1) / (a^2 + b^2 + C1), C1 = (0.01 * 255)^2.
    a, b, c1 = 100, 150, 2.55**2
    luminance = (2 * a * b + c1) / (a * a + b * b + c1)
    np.testing.assert_allclose(ssim.ssim(flat(a), flat(b)), [luminance], rtol=1e-5)
    # Only the coarsest scale has a luminance term: the fifth of five scales, the second of two.
    np.testing.assert_allclose(ssim.ms_ssim(flat(a, 176), flat(b, 176)), [luminance**0.1333], rtol=1e-5)
    two = 0.2856 / (0.0448 + 0.2856)
    np.testing.assert_allclose(ssim.ms_ssim(flat(a, 32), flat(b, 32)), [luminance**two], rtol=1e-5)


def test_ssim_equals_scikit_image(rng):
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed (extra `edges`)")
    first = some(rng)
    second = np.clip(first + rng.normal(0, 30, first.shape), 0, 255).astype(np.uint8)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    expected = [metrics.structural_similarity(a, b, **settings) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(ssim.ssim(first, second), expected, atol=1e-5)
    np.testing.assert_allclose(psnr(first, second)[0], metrics.peak_signal_noise_ratio(first[0], second[0]))


@pytest.mark.parametrize(
    ("size", "scales"), [(11, 1), (20, 1), (21, 2), (41, 3), (81, 4), (160, 4), (161, 5), (256, 5)]
)
def test_ms_ssim_takes_the_scales_that_fit(rng, size, scales):
    assert ssim.ms_ssim_scales(size, 300) == ssim.ms_ssim_scales(300, size) == scales
    image = some(rng, 1, size)
    np.testing.assert_allclose(ssim.ms_ssim(image, image), [1.0], atol=1e-6)
    noisy = np.clip(image + rng.normal(0, 9, image.shape), 0, 255).astype(np.uint8)
    value = ssim.ms_ssim(image, noisy)
    assert 0.5 < value[0] < 1
    if scales == 1:
        np.testing.assert_allclose(value, ssim.ssim(image, noisy), rtol=1e-5)


@pytest.mark.parametrize("metric", [l1, psnr, ssim.ssim, ssim.ms_ssim])
def test_other_arrays_are_refused(metric):
    for wrong in (flat(0)[0], flat(0).astype(np.float32), flat(0)[:0]):
        with pytest.raises(ValueError, match=r"uint8 \(N, H, W, C\)"):
            metric(wrong, wrong)
    with pytest.raises(ValueError, match=r"\(1, 16, 16, 3\) .*\(1, 17, 17, 3\)"):
        metric(flat(0), flat(0, 17))


def test_ssim_refuses_images_below_its_window():
    with pytest.raises(ValueError, match="11 px"):
        ssim.ssim(flat(0, 10), flat(0, 10))


# ---------------------------------------------------------------- colours


def test_lab_histograms_of_known_colours():
    image = np.array([[[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255]]]], np.uint8)
    counts = lab.lab_histograms(image).counts
    assert [len(channel) for channel in counts] == [101, 221, 221]
    # L of black, white, red 53.2, blue 32.3; a 0, 0, 80.1, 79.2; b 0, 0, 67.2, -107.9, counted from -110.
    for channel, bins in zip(counts, [[0, 32, 53, 100], [110, 110, 189, 190], [2, 110, 110, 177]], strict=True):
        np.testing.assert_array_equal(np.repeat(np.arange(len(channel)), channel), bins)


def test_greys_have_one_bin_and_images_add_up():
    greys = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(4, 8, 8, 3)
    whole = lab.lab_histograms(greys)
    assert whole.counts[1][110] == whole.counts[2][110] == 256
    summed = lab.lab_histograms(greys[:1]) + lab.lab_histograms(greys[1:])
    for ours, theirs in zip(summed.counts, whole.counts, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert sum(map(np.sum, whole.shares())) == pytest.approx(3)


def test_intersection_by_hand():
    black, white = flat(0), flat(255)
    mixed = lab.lab_histograms(black) + lab.lab_histograms(white)
    three_to_one = mixed + lab.lab_histograms(np.repeat(black, 2, axis=0))
    # L: shares (1/2, 1/2) and (3/4, 1/4); all of them are grey.
    assert lab.intersection(mixed, three_to_one) == pytest.approx((0.75, 1.0, 1.0))
    assert lab.intersection(lab.lab_histograms(black), mixed) == pytest.approx((0.5, 1.0, 1.0))


# ---------------------------------------------------------------- segmentation


def test_confusion_and_metrics_by_hand():
    truth = np.array([[[0, 0, 0, 1], [1, 1, 255, 255]]])
    predicted = np.array([[[0, 0, 1, 1], [0, 9, 0, 1]]], np.uint8)
    matrix = segmentation.confusion(truth, predicted, 3)
    np.testing.assert_array_equal(matrix, [[[2, 1, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0]]])
    found = segmentation.class_metrics(matrix.sum(0))
    assert found.pixel_accuracy == 3 / 6
    assert found.class_accuracy == pytest.approx((2 / 3 + 1 / 3) / 2)
    # Class 0: 2 of 3 true + 3 predicted - 2 right; class 1: 1 of 3 + 2 - 1.
    assert found.iou == pytest.approx((2 / 4 + 1 / 4) / 2)
    np.testing.assert_allclose(found.iou_of_class, [0.5, 0.25, np.nan])
    assert found.to_json()["accuracy_of_class"][2] is None


def test_a_class_that_is_only_predicted_costs_others_but_is_in_no_mean():
    found = segmentation.class_metrics(segmentation.confusion(np.zeros((1, 1, 4)), np.array([[[0, 0, 0, 1]]]), 2)[0])
    assert (found.class_accuracy, found.iou) == (0.75, 0.75)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_matrices_of_images_add_up_to_a_plain_count(seed):
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, 3, 255], (3, 4, 5))
    predicted = rng.integers(0, 6, truth.shape)
    expected = np.zeros((4, 5), int)
    for t, p in zip(truth.ravel(), predicted.ravel(), strict=True):
        if t != 255:
            expected[t, min(p, 4)] += 1
    found = segmentation.confusion(truth, predicted, 4)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found.sum(0), expected)


def test_labels_that_are_no_class_are_refused():
    with pytest.raises(ValueError, match=r"0 to 2, .*255.* 7"):
        segmentation.confusion(np.full((1, 2, 2), 7), np.zeros((1, 2, 2)), 3)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\), \(1, 2, 3\)"):
        segmentation.confusion(np.zeros((1, 2, 2)), np.zeros((1, 2, 3)), 3)
    with pytest.raises(ValueError, match="class"):
        segmentation.class_metrics(np.zeros((2, 3), np.int64))


def test_nearest_palette_colour():
    image = np.array([[[[10, 0, 0], [200, 30, 30], [0, 0, 250]]]], np.uint8)
    palette = Encoding(palette=((0, 0, 0), (255, 0, 0), (0, 0, 255)))
    np.testing.assert_array_equal(segmentation.nearest_classes(image, palette), [[[0, 1, 2]]])
    with pytest.raises(ValueError, match="palette"):
        segmentation.nearest_classes(image, Encoding())


def test_class_maps_take_the_nearest_pixel():
    np.testing.assert_array_equal(resize_classes(np.array([[[1, 2], [3, 4]]]), (4, 2)), [[[1, 2]] * 2 + [[3, 4]] * 2])
    np.testing.assert_array_equal(resize_classes(np.arange(9)[None, None], (1, 3)), [[[1, 4, 7]]])


def test_fcn_score_by_hand_with_the_real_row_beside():
    labels = np.array([[[0, 0, 1, 1]] * 4])  # left dark, right bright
    real = np.repeat(labels[..., None] * 255, 3, -1).astype(np.uint8)[:, ::2, ::2]
    generated = real.copy()
    generated[:, 1] = 0  # the lower half has gone dark
    seen = []

    def segment(photos):
        seen.append(photos.shape)
        return (photos[..., 0] > 127).astype(np.uint8)

    ours, theirs = fcn_score.fcn_score(segment, generated, real, labels, 2)
    assert seen == [(1, 4, 4, 3)] * 2
    assert theirs.iou == 1.0
    assert ours.accuracy_of_class[0] == 1.0
    assert ours.accuracy_of_class[1] < 1.0
    assert theirs.to_json()["pixel_accuracy"] == 1.0
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 3\) .*\(1, 4, 4\)"):
        fcn_score.fcn_score(segment, generated, labels[..., None].repeat(3, -1).astype(np.uint8), labels, 2)


# ---------------------------------------------------------------- bootstrap


def test_bootstrap_of_a_share_is_binomial():
    stats = pytest.importorskip("scipy.stats")
    found = bootstrap.interval(np.arange(100) < 30)
    np.testing.assert_allclose(found, stats.binom.ppf([0.025, 0.975], 100, 0.3) / 100, atol=0.011)
    assert found == bootstrap.interval(np.arange(100) < 30)


def test_bootstrap_by_hand():
    assert bootstrap.interval(np.array([4.0])) == (None, None)  # one says nothing of how far others lie apart
    # Means of two draws of 0 and 1 are 0, 1/2, 1 with probability 1/4, 1/2, 1/4.
    assert bootstrap.interval(np.array([0, 1])) == (0.0, 1.0)
    assert bootstrap.interval(np.array([0, 1]), confidence=0.4) == (0.5, 0.5)
    assert bootstrap.interval(np.array([20.0, np.inf]))[1] == np.inf


def test_bootstrap_of_any_statistic(rng):
    matrices = segmentation.confusion(rng.integers(0, 3, (20, 8, 8)), rng.integers(0, 3, (20, 8, 8)), 3)

    def accuracy(samples):
        summed = samples.sum(axis=1)
        return np.trace(summed, axis1=1, axis2=2) / summed.sum(axis=(1, 2))

    low, high = bootstrap.interval(matrices, accuracy, resamples=500)
    assert low < segmentation.class_metrics(matrices.sum(0)).pixel_accuracy < high
    for wrong in (np.array([]), np.array([np.nan])):
        with pytest.raises(ValueError, match="NaN"):
            bootstrap.interval(wrong)
    with pytest.raises(ValueError, match="confidence=1"):
        bootstrap.interval(np.ones(3), confidence=1)
