"""A run's networks: built from its choices, described for its config, started from other weights, and saved."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines import Preprocessing, Source
from pipelines.cache import write_atomically
from tfpix2pix.config import CUSTOM, DataConfig, ModelConfig, ObjectiveConfig, TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.losses import L1, Adversarial, Loss
from tfpix2pix.models.nested import leaves
from tfpix2pix.recipes import recipe
from tfpix2pix.registry import DISCRIMINATORS, GENERATORS, LOSSES
from tfpix2pix.training import checkpoint
from tfpix2pix.training.optimizers import FusedAdam, LinearSchedule
from tfpix2pix.training.pix2pix import Pix2Pix
from tfpix2pix.training.run_directory import RunDirectory
from tfpix2pix.training.variables import weights_by_name


def build(config: TrainConfig, input_channels: int = 3, target_channels: int = 3, *, total_steps: int = 0) -> Pix2Pix:
    """Builds the model of a run; call it inside the strategy's scope.

    Args:
        config: the run's choices.
        input_channels: that the networks see.
        target_channels: that the generator makes.
        total_steps: length of the run, for a learning rate that decays.

    Raises:
        ConfigError: if the networks can't be built for these choices.
    """
    data, model, goal, run = config.data, config.model, config.objective, config.run
    _check_used(config)
    dtype = "float32" if run.mixed_precision == "none" else f"mixed_{run.mixed_precision}"
    input_shape, target_shape = (*data.image_size, input_channels), (*data.image_size, target_channels)
    try:
        choices = {"base_filters": model.base_filters, "norm": model.norm, "dtype": dtype}
        generator = _made_by(
            GENERATORS[model.generator], input_shape, target_channels, **choices, dropout=model.dropout, seed=run.seed
        )
        discriminator = None
        if goal.adversarial != "none":
            discriminator = _made_by(
                DISCRIMINATORS[model.discriminator],
                input_shape,
                target_shape,
                **choices,
                patch_size=model.patch_size,
                scales=model.scales,
                conditional=goal.adversarial == "cgan",
                seed=_second_seed(run.seed),
            )
    except ValueError as error:
        height, width = config.data.image_size
        raise ConfigError(f"The networks can't be built for `image_size` {height}x{width}: {error}") from error
    terms: list[Loss] = [] if discriminator is None else [Adversarial(goal.gan_loss)]
    terms += [L1(goal.l1_weight)] if goal.l1_weight else []
    for text in goal.losses:
        name, _, weight = text.partition("=")
        terms.append(LOSSES[name](weight=float(weight)))

    decay_steps = total_steps if goal.lr_decay == "linear" else 0

    def schedule(rate: float) -> float | LinearSchedule:
        if not (goal.lr_warmup or decay_steps):
            return rate  # a number, which callbacks can change
        return LinearSchedule(rate, warmup_steps=goal.lr_warmup, decay_steps=decay_steps)

    try:
        return Pix2Pix(
            generator,
            discriminator,
            terms,
            generator_optimizer=FusedAdam(
                schedule(goal.learning_rate),
                clip_threshold=goal.clip_threshold or None,
                global_clipnorm=goal.clip_norm or None,
            ),
            discriminator_optimizer=FusedAdam(schedule(goal.discriminator_learning_rate or goal.learning_rate)),
            discriminator_shift=goal.discriminator_shift,
            adversarial_from=round(goal.adversarial_from * total_steps),
            ema=goal.ema,
            ema_ramp=goal.ema_ramp,
            seed=run.seed,
            jit_compile=run.jit_compile,
        )
    except ValueError as error:
        raise ConfigError(f"The networks and the losses don't fit each other: {error}") from error


def _check_used(config: TrainConfig) -> None:
    """Checks that every choice of networks that was made is one that either of them has.

    Raises:
        ConfigError: if there is one that would change nothing.
    """
    model = config.model
    usual = recipe(config.data.dataset, config.run.recipe, task=config.data.task).model
    builders = GENERATORS[model.generator], DISCRIMINATORS[model.discriminator]
    known = {name for builder in builders for name in inspect.signature(builder).parameters}
    for name, without in {"norm": "none", "dropout": 0.0, "patch_size": ModelConfig.patch_size, "scales": 1}.items():
        value = getattr(model, name)
        if name not in known and value not in (without, getattr(usual, name)):
            raise ConfigError(
                f"`{name}` {value} would change nothing: neither the generator {model.generator} nor the "
                f"discriminator {model.discriminator} has it. Drop it, or choose other networks, such as those of "
                f"`recipe` {'modern' if config.run.recipe == 'paper' else 'paper'}."
            )


def describe(model: Pix2Pix, data: Mapping[str, Source], preprocessing: Preprocessing) -> TrainConfig:
    """Returns the choices of a run whose model and data a program brought along, as far as choices can say them."""
    known = getattr(data, "config", None)  # of `datasets.load`
    of_data = DataConfig(dataset=CUSTOM) if known is None else known
    plain = preprocessing.mask if preprocessing.mask != "none" else of_data.mask
    of_data = dataclasses.replace(
        of_data,
        direction=preprocessing.direction,
        image_size=preprocessing.size,
        resize=preprocessing.resize,
        one_hot=preprocessing.one_hot,
        mask=plain,
        jitter=preprocessing.jitter,
        flip=preprocessing.flip,
    )
    adversarial = "none" if model.adversarial is None else "cgan" if model.conditional else "gan"
    weights = {term.name: term.weight for term in model.terms}
    own = [f"{name}={weight:g}" for name, weight in weights.items() if name not in ("gan", "l1")]
    return TrainConfig(
        of_data,
        ModelConfig(generator=CUSTOM, discriminator=CUSTOM),
        ObjectiveConfig(
            adversarial=adversarial,  # type: ignore[arg-type]
            gan_loss=model.adversarial.kind if model.adversarial else "vanilla",  # type: ignore[arg-type]
            l1_weight=weights.get("l1", 0.0),
            discriminator_shift=model.discriminator_shift,
            ema=model.ema,
            ema_ramp=model.ema_ramp,
            custom_losses=tuple(own),
        ),
    )


def _made_by(builder: Callable[..., keras.Model], *shapes: Any, **choices: Any) -> keras.Model:
    """Builds a network of shapes and those choices that it has."""
    known = inspect.signature(builder).parameters
    return builder(*shapes, **{name: value for name, value in choices.items() if name in known})


def initialize_from(model: Pix2Pix, source: Path) -> list[str]:
    """Gives a model the weights of a trained one, to fine-tune it; optimizers and step stay fresh.

    Layers are matched by name. Where channels differ, as those of the first or last layer do for other images, a
    weight stays as it was initialised.

    Args:
        model: what starts from these weights.
        source: a run's folder, whose discriminator is taken too, or a `.keras` file.

    Returns:
        What was done, a sentence each.

    Raises:
        ConfigError: if there are no weights, or they are of another network.
    """
    values, of_discriminator = _trained_weights(source)
    lines = _assign(weights_by_name("generator", model.generator), values, source)
    if model.ema_generator is not None:
        model.ema_generator.set_weights(model.generator.get_weights())
    if model.discriminator is not None:
        if of_discriminator:
            lines += _assign(weights_by_name("discriminator", model.discriminator), of_discriminator, source)
        else:
            lines.append(f"{source} has no discriminator, so that starts new.")
    return [f"Starts from {source}.", *lines]


def save(generator: keras.Model, path: Path) -> None:
    """Writes a generator as a `.keras` file that plain Keras opens, in float32 whatever it computes in."""
    in_float32 = all(layer.dtype_policy.name == "float32" for layer in leaves(generator))
    model = generator if in_float32 else float32_copy(generator)
    write_atomically(path, lambda temporary: _write_zip(model, temporary))


def _write_zip(model: keras.Model, path: Path) -> None:
    """Writes a `.keras` file by way of a folder, as Keras would hold the whole file in memory."""
    folder = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=path.parent))
    try:
        keras.saving.save_model(model, folder / "model", zipped=False)
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(file for file in (folder / "model").rglob("*") if file.is_file()):
                archive.write(file, file.relative_to(folder / "model"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def float32_copy(generator: keras.Model) -> keras.Model:
    """Returns a copy that computes in float32, outside of any strategy."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        return type(layer).from_config(config | ({"dtype": "float32"} if "dtype" in config else {}))

    copy = keras.models.clone_model(generator, clone_function=clone, recursive=True)
    copy.set_weights(generator.get_weights())
    return copy


def check_savable(generator: keras.Model) -> None:
    """Checks that a `.keras` file of a generator can be opened again, safely and in another process.

    Raises:
        ConfigError: naming the layer that can't.
    """
    for layer in leaves(generator):
        kind = type(layer)
        name = keras.saving.get_registered_name(kind)
        if isinstance(layer, keras.layers.Lambda):
            reason = "a Lambda layer holds Python code, which is not opened for safety"
        elif not kind.__module__.startswith("keras.") and name == kind.__name__:
            reason = f"{kind.__name__} is not registered by @keras.saving.register_keras_serializable()"
        else:
            try:
                kind.from_config(layer.get_config())
                continue
            except Exception as error:  # whatever a layer of a user's own raises
                reason = f"it can't be made again from its get_config(): {error}"
        raise ConfigError(f"The generator's layer {layer.name!r} can't be saved: {reason}.")


def _trained_weights(source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the weights of a trained generator, and of its discriminator where there is one, by name."""
    run = RunDirectory(source)
    file = next((file for file in (run.generator, run.best_generator) if file.exists()), source)
    if not file.is_file():
        raise ConfigError(f"`init_from` {source} is no run with a generator, and no .keras file.")
    try:
        generator = keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras's reader raises anything on broken files
        raise ConfigError(f"`init_from` {file} can't be opened: {error}") from error
    values = {name: value.numpy() for name, value in weights_by_name("generator", generator).items()}
    saved = checkpoint.read_newest(run.checkpoints) if file != source else {}
    return values, {name: value for name, value in saved.items() if name.startswith("discriminator/")}


def _assign(variables: Mapping[str, tf.Variable], values: Mapping[str, Any], source: Path) -> list[str]:
    values = checkpoint.matched(dict(values), variables)
    if missing := sorted(variables.keys() ^ values.keys()):
        raise ConfigError(
            f"`init_from` {source} is another network: it differs in {len(missing)} weights, such as {missing[0]}. "
            "Give the same `generator`, `norm` and depth."
        )
    fresh = [name for name, variable in variables.items() if tuple(variable.shape) != values[name].shape]
    for name in fresh:
        old, new = values[name].shape, tuple(variables[name].shape)
        if len(old) != len(new) or old[:-2] != new[:-2]:
            raise ConfigError(f"`init_from` {source} is another network: {name} is {old} there, {new} here.")
    if len({name.split("/")[1] for name in fresh}) > 2:
        raise ConfigError(
            f"`init_from` {source} is another network: {len(fresh)} weights have other channels, such as {fresh[0]}. "
            "Give the same `base_filters` as there."
        )
    for name, variable in variables.items():
        if name not in fresh:
            variable.assign(values[name])
    return [f"New, since its channels differ: {name}, {tuple(variables[name].shape)}." for name in fresh]


def _second_seed(seed: int) -> int:
    """Returns a seed for the discriminator that is no other run's seed of the generator."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0] >> 1)
