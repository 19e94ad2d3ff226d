"""One data set a file; each has `splits(data_dir)`, which finds its pairs without reading them."""
