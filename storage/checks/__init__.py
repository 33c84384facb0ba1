"""Checks of videos and annotations, made before a run."""
