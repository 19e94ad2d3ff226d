"""What `python -m pipelines.inspect` measures, draws and writes."""
