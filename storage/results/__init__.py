"""Results written for people and benchmarks: masks, overlays, stage strips, submissions."""
