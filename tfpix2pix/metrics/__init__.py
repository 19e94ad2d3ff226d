"""How good pictures are: one metric a file, each a function of arrays.

`pixel` (L1, PSNR, SSIM, MS-SSIM), `histograms` (the paper's colour distributions), `frechet` (FID and KID) on the
networks of `features`, `segmentation` and `scores` (the paper's FCN-score) with the recognisers of `recogniser` and
`fcn8s`, and `bootstrap` (intervals). There is no LPIPS: no well-kept library has it for TensorFlow.

Importing this package imports no TensorFlow.
"""
