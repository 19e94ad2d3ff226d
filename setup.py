"""What setup.cfg can't say: the trained models in saved_models/ are installed as data of the package."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["tfpix2pix*", "pipelines*"]), "tfpix2pix.saved_models"])
