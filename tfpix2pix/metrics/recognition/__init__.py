"""The networks that tell the classes in photos, which the FCN-score needs: opened, or trained.

`network` says what one is, `load` opens any of them; `options` and `train` make one (`fcn`) from a data set's own
pairs. The paper's FCN-8s (`fcn8s`) is read from its Caffe file (`caffe`). Importing this package imports no TensorFlow.
"""
