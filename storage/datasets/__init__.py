"""Benchmarks: their rules, clip lists and folder layouts as downloaded, and the paper's published figures."""
