"""Forms of convolutions and norms that train faster on CPUs; models know nothing of them."""
