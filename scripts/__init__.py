"""What maintainers run once: splits of data sets, images of documents."""
