"""Benchmarks: commands that measure; no test depends on a time."""
