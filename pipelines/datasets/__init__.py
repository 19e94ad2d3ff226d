"""One data set a file; each has `splits(data_dir, size)`, which finds its pairs without reading them."""
