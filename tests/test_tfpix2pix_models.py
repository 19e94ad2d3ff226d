import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfpix2pix.models import patchgan_discriminator, unet_generator


def parameters(channels, kernel=16):
    """Kernels of 4x4 layers between these channels, without biases."""
    return sum(kernel * a * b for a, b in itertools.pairwise(channels))


def test_unet_has_the_papers_parameters():
    # The skips double the decoder's inputs; its outputs are 512-512-512-512-256-128-64-3.
    encoder = parameters([3, 64, 128, 256, 512, 512, 512, 512, 512])
    decoder = 16 * (512 * 512 + 3 * 1024 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 3)
    biases = 64 + 512 + 3  # first layer, bottleneck, output: no norm follows
    norms = 2 * (128 + 256 + 4 * 512) + 2 * (4 * 512 + 256 + 128 + 64)
    assert encoder + decoder + biases + norms == 54_414_531
    assert unet_generator((256, 256, 3)).count_params() == 54_414_531


def test_patchgan_has_the_papers_parameters():
    kernels = parameters([6, 64, 128, 256, 512, 1])
    assert kernels + (64 + 1) + 2 * (128 + 256 + 512) == 2_768_705
    model = patchgan_discriminator((256, 256, 3), (256, 256, 3))
    assert model.count_params() == 2_768_705
    assert model.output_shape == (None, 30, 30, 1)


def test_encoder_decoder_is_the_unet_without_skips():
    model = unet_generator((64, 64, 3), base_filters=4, skips=False)
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    up = 16 * (32 * 32 + 32 * 32 + 32 * 16 + 16 * 8 + 8 * 4 + 4 * 3)
    norms = 2 * (8 + 16 + 32 + 32) + 2 * (32 + 32 + 16 + 8 + 4)
    assert model.count_params() == parameters([3, 4, 8, 16, 32, 32, 32]) + up + norms + 4 + 32 + 3


def layer_widths(model, kind):
    return [layer.filters for layer in model.layers if type(layer) is kind]


@pytest.mark.slow
def test_depth_follows_the_shorter_side():
    for shape, down in {
        (256, 256, 3): [64, 128, 256, 512, 512, 512, 512, 512],
        (128, 128, 3): [64, 128, 256, 512, 512, 512, 512],
        (256, 512, 3): [64, 128, 256, 512, 512, 512, 512, 512],
        (64, 256, 3): [64, 128, 256, 512, 512, 512],
        (320, 64, 1): [64, 128, 256, 512, 512, 512],
        (512, 512, 3): [64, 128, 256, 512, 512, 512, 512, 512],
    }.items():
        model = unet_generator(shape)
        assert layer_widths(model, keras.layers.Conv2D) == down
        assert layer_widths(model, keras.layers.Conv2DTranspose) == [*down[-2::-1], 3]
        assert model.output_shape == (None, *shape[:2], 3)


def test_dropout_is_on_the_first_three_decoder_layers():
    model = unet_generator((256, 256, 3), base_filters=4)
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert names == ["up7_dropout", "up6_dropout", "up5_dropout"]
    assert not [x for x in unet_generator((256, 256, 3), dropout=0).layers if isinstance(x, keras.layers.Dropout)]


def test_an_open_shape_takes_any_multiple():
    model = unet_generator((None, None, 3), base_filters=4, depth=4)
    for height, width in ((16, 16), (32, 48)):
        assert model(tf.zeros((1, height, width, 3))).shape == (1, height, width, 3)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("build", ["unet", "patchgan"])
def test_biases_stand_exactly_where_no_norm_follows(norm, build):
    model = (
        unet_generator((64, 64, 3), base_filters=4, norm=norm)
        if build == "unet"
        else patchgan_discriminator((64, 64, 3), (64, 64, 3), base_filters=4, norm=norm)
    )
    names = {layer.name for layer in model.layers}
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D | keras.layers.Conv2DTranspose)]
    assert len(convolutions) > 4
    for layer in convolutions:
        assert layer.use_bias == (layer.name.replace("_conv", "_norm") not in names), layer.name
    normed = [
        x for x in model.layers if isinstance(x, keras.layers.GroupNormalization | keras.layers.BatchNormalization)
    ]
    assert bool(normed) == (norm != "none")
    assert all(layer.epsilon == 1e-5 for layer in normed)


def test_the_first_layers_and_the_bottleneck_have_no_norm():
    generator = unet_generator((64, 64, 3), base_filters=4)
    discriminator = patchgan_discriminator((64, 64, 3), (64, 64, 3), base_filters=4)
    names = {layer.name for layer in (*generator.layers, *discriminator.layers)}
    assert {"down2_norm", "down5_norm", "up5_norm", "up1_norm", "layer2_norm", "layer4_norm"} <= names
    assert not {"down1_norm", "down6_norm", "output_norm", "layer1_norm", "logits_norm"} & names


def test_slopes_are_the_papers():
    generator = unet_generator((32, 32, 3), base_filters=4)
    slopes = [x.negative_slope for x in generator.layers if isinstance(x, keras.layers.LeakyReLU)]
    assert slopes == [pytest.approx(0.2)] * 4


def test_skips_are_rectified_after_they_are_joined():
    generator = unet_generator((32, 32, 3), base_filters=4)
    for level in range(1, 5):
        follower = "output_act" if level == 1 else f"up{level - 1}_act"
        assert isinstance(generator.get_layer(follower), keras.layers.ReLU)
        assert generator.get_layer(follower).input is generator.get_layer(f"up{level}_skip").output


def test_initial_values_follow_the_paper():
    model = unet_generator((256, 256, 3), seed=1)
    for weight in model.weights:
        value = weight.numpy()
        name = weight.path.rsplit("/", 1)[-1]
        if name == "kernel" and value.size > 1e5:
            assert abs(value.std() - 0.02) < 2e-4
            assert abs(value.mean()) < 2e-4
        elif name == "gamma":
            assert abs(value.mean() - 1) < 0.01
            assert 0.01 < value.std() < 0.03
        elif name in ("beta", "bias"):
            np.testing.assert_array_equal(value, 0)


def test_no_two_weights_of_one_shape_start_equal():
    models = (
        unet_generator((256, 256, 3), base_filters=8, seed=0),
        patchgan_discriminator((256, 256, 3), (256, 256, 3), base_filters=8, seed=1),
    )
    values = [w.numpy() for model in models for w in model.weights if w.path.endswith(("kernel", "gamma"))]
    for one, other in itertools.combinations(values, 2):
        assert one.shape != other.shape or not np.array_equal(one, other)


def test_a_seed_fixes_the_weights_and_another_gives_others():
    first, second, third = (unet_generator((32, 32, 3), base_filters=4, seed=seed).get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], third[0])


@pytest.mark.parametrize(("patch_size", "side"), [(1, 32), (16, 64), (70, 256), (286, 640)])
def test_receptive_field_by_gradient(patch_size, side):
    # Instance norm looks at the whole map, so the field of the convolutions is measured without it.
    model = patchgan_discriminator((side, side, 1), (side, side, 1), base_filters=2, patch_size=patch_size, norm="none")
    image = tf.random.stateless_normal((1, side, side, 1), seed=(0, 1))
    with tf.GradientTape() as tape:
        tape.watch(image)
        logits = model([image, image])
        middle = logits[0, logits.shape[1] // 2, logits.shape[2] // 2, 0]
    reached = np.abs(tape.gradient(middle, image).numpy()[0, ..., 0]) > 0
    for axis in (0, 1):
        places = np.flatnonzero(reached.any(axis=axis))
        assert places[-1] - places[0] + 1 == patch_size


def test_an_unconditional_discriminator_sees_the_target_alone():
    model = patchgan_discriminator((64, 64, 5), (64, 64, 3), base_filters=4, patch_size=16, conditional=False)
    assert model.input_shape == (None, 64, 64, 3)
    assert model.get_layer("layer1_conv").kernel.shape == (4, 4, 3, 4)


def test_channels_may_differ():
    assert unet_generator((32, 32, 5), 2, base_filters=4).output_shape == (None, 32, 32, 2)
    model = patchgan_discriminator((32, 32, 5), (32, 32, 2), base_filters=4, patch_size=16)
    assert model.get_layer("layer1_conv").kernel.shape == (4, 4, 7, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (100, 101, 3)}, "divisible"),
        ({"image_shape": (None, 64, 3)}, "`depth`"),
        ({"image_shape": (64, 64, 3), "depth": 7}, "divisible"),
        ({"image_shape": (64, 64, 3), "norm": "layer"}, "instance, batch, none"),
        ({"image_shape": (64, 64, 3), "dropout": 1.0}, "dropout"),
        ({"image_shape": (64, 64, 3), "base_filters": 0}, "base_filters"),
    ],
)
def test_bad_generator_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        unet_generator(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 34}, "1, 16, 70, 286"),
        ({"target_shape": (64, 32, 3)}, "target_shape="),
        ({"norm": "layer"}, "instance, batch, none"),
        ({"patch_size": 286}, "128 px"),
        ({"base_filters": 0}, "base_filters"),
    ],
)
def test_bad_discriminator_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        patchgan_discriminator(**{"input_shape": (64, 64, 3), "target_shape": (64, 64, 3)} | arguments)
