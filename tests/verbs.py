"""The commands as modules. `tfpix2pix.evaluate` and `.export` as attributes are the library's functions."""

import importlib

evaluate = importlib.import_module("tfpix2pix.evaluate")
export = importlib.import_module("tfpix2pix.export")
