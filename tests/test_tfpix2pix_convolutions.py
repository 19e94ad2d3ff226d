import math

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small import normal
from tfpix2pix.kernels import convolutions

ALWAYS, NEVER = (math.inf, 0), (0, math.inf)
ALL_NEVER = {
    "_TAPS": (),
    "_FEW_FILTERS": 0,
    **dict.fromkeys(("_PATCHES", "_ONE_PRODUCT", "_PRODUCT_FOR_EACH_TAP"), NEVER),
}
FORMS = [
    pytest.param({**ALL_NEVER, **forms}, id=" ".join(forms) or "TensorFlow's own")
    for forms in (
        {},
        {"_TAPS": (ALWAYS,), "_PATCHES": ALWAYS, "_ONE_PRODUCT": ALWAYS},
        {"_TAPS": (ALWAYS,), "_LARGE_KERNEL": 0},
        {"_FEW_FILTERS": 5, "_PRODUCT_FOR_EACH_TAP": ALWAYS},
    )
]
SHAPES = st.tuples(*[st.integers(1, high) for high in (2, 9, 9, 5, 5)])  # batch, height, width, channels in and out


def with_gradients(function, x, kernel):
    """Returns a function's value, and both gradients of its product with a fixed random tensor."""
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        output = function(x, kernel)
        loss = tf.reduce_sum(output * normal(output.shape, 2, output.dtype))
    return output, *tape.gradient(loss, [x, kernel])


def transposed(x, kernel):
    batch, height, width = x.shape[:3]
    return tf.nn.conv2d_transpose(x, kernel, (batch, 2 * height, 2 * width, kernel.shape[2]), 2, "SAME")


def assert_equal(ours, theirs, x_shape, kernel_shape):
    for dtype, tolerance in ((tf.float64, 1e-10), (tf.float32, 1e-5)):
        x, kernel = normal(x_shape, 0, dtype), normal(kernel_shape, 1, dtype)
        got, wanted = with_gradients(ours, x, kernel), with_gradients(theirs, x, kernel)
        for ours_value, value in zip(got, wanted, strict=True):
            assert ours_value.shape == value.shape
            assert ours_value.dtype == value.dtype
            largest = float(tf.reduce_max(tf.abs(value)))
            assert largest > 0
            assert float(tf.reduce_max(tf.abs(ours_value - value))) <= tolerance * max(1.0, largest)


@pytest.mark.parametrize("limits", FORMS)
@given(SHAPES)
@settings(max_examples=15, deadline=None)
def test_up_convolution_is_a_transposed_convolution(limits, shape):
    batch, height, width, channels, filters = shape
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(convolutions, name, value)
        assert_equal(
            convolutions.up_convolution, transposed, (batch, height, width, channels), (4, 4, filters, channels)
        )


@pytest.mark.parametrize("limits", FORMS)
@given(SHAPES)
@settings(max_examples=15, deadline=None)
def test_down_convolution_is_a_convolution_of_stride_2(limits, shape):
    batch, height, width, channels, filters = shape
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(convolutions, name, value)
        assert_equal(
            convolutions.down_convolution,
            lambda x, kernel: tf.nn.conv2d(x, kernel, 2, "SAME"),
            (batch, 2 * height, 2 * width, channels),
            (4, 4, channels, filters),
        )


@pytest.mark.parametrize("limit", [ALWAYS, NEVER])
@pytest.mark.parametrize(("name", "padding", "size"), [("unit", "VALID", 4), ("same", "SAME", 3)])
@given(SHAPES)
@settings(max_examples=15, deadline=None)
def test_unit_and_same_convolution_are_convolutions_of_stride_1(limit, name, padding, size, shape):
    batch, height, width, channels, filters = shape
    more = size - 1 if padding == "VALID" else 0
    with pytest.MonkeyPatch.context() as patch:
        for limits, value in (("_WINOGRAD", limit), ("_WINOGRAD_OF_3", limit), ("_TOO_FEW_OF_3", NEVER)):
            patch.setattr(convolutions, limits, value)
        assert_equal(
            getattr(convolutions, f"{name}_convolution"),
            lambda x, kernel: tf.nn.conv2d(x, kernel, 1, padding),
            (batch, height + more, width + more, channels),
            (size, size, channels, filters),
        )


def test_a_residual_blocks_convolution_rounds_no_more_than_that():
    layer = tf.zeros((1, 32, 32, 1)), tf.zeros((3, 3, 512, 512))
    assert convolutions._within(convolutions._WINOGRAD_OF_3, *layer)
    assert not convolutions._within(convolutions._TOO_FEW_OF_3, *layer)
    assert_equal(
        convolutions.same_convolution,
        lambda x, kernel: tf.nn.conv2d(x, kernel, 1, "SAME"),
        (1, 32, 32, 512),
        (3, 3, 512, 512),
    )


def test_a_discriminators_unit_convolution_rounds_no_more_than_that():
    # As in a discriminator of 64 filters: sums of 4096 products, where rounding adds up.
    assert convolutions._within(convolutions._WINOGRAD, tf.zeros((1, 34, 34, 1)), tf.zeros((4, 4, 256, 512)))
    assert_equal(
        convolutions.unit_convolution,
        lambda x, kernel: tf.nn.conv2d(x, kernel, 1, "VALID"),
        (1, 34, 34, 256),
        (4, 4, 256, 512),
    )


@given(SHAPES)
@settings(max_examples=15, deadline=None)
def test_single_convolution_is_a_convolution_to_one_channel(shape):
    batch, height, width, channels, _ = shape
    assert_equal(
        convolutions.single_convolution,
        lambda x, kernel: tf.nn.conv2d(x, kernel, 1, "VALID"),
        (batch, height + 3, width + 3, channels),
        (4, 4, channels, 1),
    )
