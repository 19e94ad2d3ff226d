"""What `tests/stress/fuzz.py` is made of: valid files, ways to spoil them, and what each of them is fed to."""

# The C library hands memory back at once, so that what the process has is what it uses.
ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
