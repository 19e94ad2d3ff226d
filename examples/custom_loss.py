"""A loss term of your own: outputs with the edges of the target. Run: python examples/custom_loss.py --help."""

import tensorflow as tf
import tyro

import tfpix2pix as tp


class Edges(tp.losses.Loss):
    """The mean absolute difference of horizontal and vertical image gradients."""

    def __call__(self, x):
        """Maps a forward pass to one value for each example, (B,)."""
        pairs = zip(tf.image.image_gradients(x.target), tf.image.image_gradients(x.output), strict=True)
        return tf.add_n([tp.losses.mean_per_example(tf.abs(target - output)) for target, output in pairs])


def main(steps: int = 2000, run: str = "runs/custom_loss", size: int = 64):
    """Trains on drawn facades; the term stands as g_edges in history, plots and TensorBoard."""
    shape = (size, size, 3)
    model = tp.Pix2Pix(
        tp.models.unet_generator(shape, base_filters=16, seed=0),
        tp.models.patchgan_discriminator(shape, shape, base_filters=16, patch_size=16, seed=1),
        losses=[tp.losses.Adversarial("hinge"), tp.losses.L1(50), Edges(weight=50)],
        ema=0.999,
    )
    data = tp.datasets.load("synthetic", image_size=size)
    return tp.Trainer(model, data, run=run, steps=steps).train()


if __name__ == "__main__":
    print(tyro.cli(main).samples)
