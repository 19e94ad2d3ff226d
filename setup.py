"""What setup.cfg can't say: the trained models in saved_models/ go into a wheel as data of the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_MODELS = ("config.json", "MODEL_CARD.md", "LICENSE.txt", "model_float16.tflite", "*/*", "*/*/*")


class BuildWithModels(build_py):
    """Copies the models; in a clone, editable installs among them, they are found beside the package."""

    def run(self):
        """Builds the package."""
        super().run()
        if self.editable_mode:
            return
        for model in sorted(path.parent for path in Path("saved_models").glob("*/config.json")):
            for file in sorted({file for pattern in _MODELS for file in model.glob(pattern) if file.is_file()}):
                target = Path(self.build_lib, "tfpix2pix", file)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)


setup(cmdclass={"build_py": BuildWithModels})
