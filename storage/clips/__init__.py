"""Clips: videos and frame folders found in a source, and their decoding."""
