"""Upkeep: store maintenance, data checks, `doctor` and the local Prefect server."""
