"""Trained generators in use: one way to call them, whatever file they come from."""
