"""Reads videos and data sets; stores artifacts, checkpoints, masks and tracked runs. Imports no networks."""
