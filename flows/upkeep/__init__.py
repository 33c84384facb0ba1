"""Upkeep: store maintenance, data checks, `doctor`, and deployments from one process."""
