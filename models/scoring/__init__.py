"""Scores against annotations: J, F, boxes and selection AP."""
