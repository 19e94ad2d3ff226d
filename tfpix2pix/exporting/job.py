"""What is exported: a generator, what is known of it, and the images that its forms are compared on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt

from pipelines.catalog import licence
from pipelines.spec import Encoding
from tfpix2pix.config import TrainConfig
from tfpix2pix.errors import ConfigError
from tfpix2pix.inference.backends import generator_of
from tfpix2pix.inference.backends.keras_model import encodings_beside, plain_encodings
from tfpix2pix.inference.copying import inference_copy, single_image_model
from tfpix2pix.inference.translator import Translator
from tfpix2pix.models.nested import leaves
from tfpix2pix.training.run_directory import RunDirectory

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """A generator and where it comes from.

    Attributes:
        generator: as Keras has it.
        encodings: of input and target.
        run: the run that trained it; `None` if that isn't known.
        trained: the run's choices.
        best: whether it is the run's best generator, not its last.
    """

    generator: keras.Model
    encodings: tuple[Encoding, Encoding]
    run: RunDirectory | None = None
    trained: TrainConfig | None = None
    best: bool = False

    @property
    def licence(self) -> str:
        """What the licence of its data asks for."""
        return licence(self.trained.data.dataset) if self.trained else "Not known; ask who trained it."

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all weights."""
        digest = hashlib.sha256()
        for weight in self.generator.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
        return digest.hexdigest()


def subject_of(
    source: Path | str | RunDirectory | keras.Model,
    which: Literal["final", "best"] = "final",
    encodings: tuple[Encoding, Encoding] | None = None,
) -> Subject:
    """Opens what is to be exported.

    Args:
        source: a run, its folder, a `.keras` file, or a model.
        which: the run's last generator, or the one with the lowest validation loss.
        encodings: of input and target, where `source` doesn't tell; by default 8-bit images of the model's channels.

    Raises:
        ConfigError: if there is no generator, or it can't be read.
    """
    if isinstance(source, keras.Model):
        return Subject(single_image_model(source), encodings or plain_encodings(source))
    if not isinstance(source, RunDirectory) and Path(source).suffix == ".keras":
        file, run = Path(source), RunDirectory(Path(source).parent)
        known = run.config.is_file()
    else:
        run = source if isinstance(source, RunDirectory) else RunDirectory(Path(source))
        run.read_config()  # whose errors come first
        file, known = run.best_generator if which == "best" else generator_of(run), True
    if not file.exists():
        raise ConfigError(f"{file} does not exist.")
    try:
        generator = keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras' reader raises anything on a corrupt file
        raise ConfigError(f"{file} can't be opened: {' '.join(str(error).split())}") from error
    generator = single_image_model(generator)
    sides = encodings or encodings_beside(file, run.data, generator)
    if not known:
        return Subject(generator, sides)
    return Subject(generator, sides, run, run.read_config(), best=file == run.best_generator)


@dataclass(frozen=True)
class Job:
    """One export on its way.

    Attributes:
        subject: what is exported.
        translator: its generator for any size.
        output: the folder that it will lie in.
        version: the number of the new SavedModel.
        size: height and width of files that take one size.
        dynamic: whether TFLite files can be resized.
        samples: inputs that every form is compared with Keras on, `(N, H, W, Cin)` for each size.
        calibration: inputs that integer forms are fitted to; `None`: there are none.
        drawings: inputs whose colours the page has, and which it starts from; none where the run's own can't be had.
        examples: how many of these are kept.
        scratch: a folder for what forms share on their way.
        settings: what `config.json` will hold.
    """

    subject: Subject
    translator: Translator
    output: Path
    version: int
    size: tuple[int, int]
    dynamic: bool
    samples: list[Floats]
    calibration: Floats | None
    drawings: Floats
    examples: int
    scratch: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name, that of its folder."""
        return self.output.resolve().name

    @cached_property
    def expected(self) -> list[Floats]:
        """What Keras makes of the samples: the generator itself, where it takes their size and computes in float32."""
        outputs = []
        for samples in self.samples:
            generator, size = self.subject.generator, samples.shape[1:3]
            taken = generator.inputs[0].shape[1:3]
            fits = all(side in (None, given) for side, given in zip(taken, size, strict=True))
            fits = fits and all(layer.compute_dtype == "float32" for layer in leaves(generator))
            model = generator if fits else inference_copy(generator, size)
            images = [np.asarray(model(image[np.newaxis], training=False), np.float32) for image in samples]
            outputs.append(np.concatenate(images))
        return outputs
