"""One data set, or kind of data set, a file; each has `load`, which finds its pairs without reading them all."""
