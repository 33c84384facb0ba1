"""Checks of videos and annotations before a run."""
