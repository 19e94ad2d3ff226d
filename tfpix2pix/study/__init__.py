"""The paper's perceptual study (its "AMT perceptual studies"): people tell real images from generated ones.

`python -m tfpix2pix.study build` makes the page, `python -m tfpix2pix.study score` reads the answers. Neither needs
TensorFlow.
"""
