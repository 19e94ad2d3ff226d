"""What maintainers run once: splits of data sets, pictures of documents."""
