"""A generator of your own, from Keras layers alone. Run: python examples/custom_generator.py --help."""

import keras
import tyro

import tfpix2pix as tp


def block(filters):
    """A residual block; the same one is used twice, so its weights are shared."""
    inputs = keras.Input((None, None, filters))
    x = keras.layers.Conv2D(filters, 3, padding="same", activation="gelu")(inputs)
    x = keras.layers.Conv2D(filters, 3, padding="same")(x)
    return keras.Model(inputs, keras.layers.Add()([inputs, x]), name="block")


def generator(shape, filters=32):
    """Half the size, the block twice, and back."""
    image = keras.Input(shape)
    x = keras.layers.Conv2D(filters, 5, strides=2, padding="same", activation="gelu")(image)
    x = keras.layers.LayerNormalization()(x)
    shared = block(filters)
    x = shared(shared(x))
    x = keras.layers.UpSampling2D(interpolation="bilinear")(x)
    return keras.Model(image, keras.layers.Conv2D(shape[-1], 3, padding="same", activation="tanh")(x), name="mine")


def main(steps: int = 2000, run: str = "runs/custom_generator", size: int = 64):
    """Trains it on drawn facades with L1 alone."""
    model = tp.Pix2Pix(generator((size, size, 3)), losses=[tp.losses.L1()])
    return tp.Trainer(model, tp.datasets.load("synthetic", image_size=size), run=run, steps=steps).train()


if __name__ == "__main__":
    print(tyro.cli(main).samples)
