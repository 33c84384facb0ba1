"""Benchmarks in the folders that their makers' downloads unpack to: found, read, checked, and answered in kind."""
