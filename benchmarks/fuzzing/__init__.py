"""What `benchmarks/fuzz.py` is made of: valid files, ways to spoil them, and what each of them is fed to."""
