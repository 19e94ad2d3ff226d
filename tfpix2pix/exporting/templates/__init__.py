"""The text files that an export writes for TensorFlow Serving."""
