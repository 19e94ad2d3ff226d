"""What `ablate` is made of: the paper's tables, and ours beside them."""
