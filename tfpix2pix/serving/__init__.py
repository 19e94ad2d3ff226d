"""Exports for TensorFlow Serving, the folder that its container mounts, and a client for it."""
