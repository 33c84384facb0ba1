"""Annotations. No other room opens an annotation file."""
