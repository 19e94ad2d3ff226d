"""Training by Keras alone: compile, fit, callbacks. Run: python examples/plain_keras.py --help."""

import keras
import tyro

import tfpix2pix as tp


def main(epochs: int = 20, file: str = "generator.keras", size: int = 64):
    """Trains on drawn facades and keeps the generator; Keras's own callbacks look on."""
    shape = (size, size, 3)
    data = tp.datasets.load("synthetic", image_size=size)
    model = tp.Pix2Pix(
        tp.models.unet_generator(shape, base_filters=16),
        tp.models.patchgan_discriminator(shape, shape, base_filters=16, patch_size=16),
        losses=[tp.losses.Adversarial("lsgan"), tp.losses.L1(100)],
        generator_optimizer=keras.optimizers.AdamW(2e-4, beta_1=0.5),
    )
    model.compile()
    history = model.fit(
        data.batches("train", batch_size=4),
        validation_data=data.batches("val", batch_size=4),
        epochs=epochs,
        steps_per_epoch=100,
        shuffle=False,  # the stream comes in random order
        callbacks=[keras.callbacks.ReduceLROnPlateau("val_g_l1", patience=3, mode="min")],
    )
    model.generator.save(file)
    return history.history


if __name__ == "__main__":
    print(tyro.cli(main)["val_g_l1"])
