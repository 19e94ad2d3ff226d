"""What `evaluate` is made of: scoring a model on a split, why pictures fail, plots, and the page."""
