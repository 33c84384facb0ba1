"""Annotations. No other package opens an annotation file."""
