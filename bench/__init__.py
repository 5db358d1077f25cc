"""Benchmarks: each figure is a ratio of two things run interleaved in one run. See `python -m bench --help`."""
