"""Tests that take minutes to hours: thousands of corrupt files, killed runs, load. Each is a command of its own."""
