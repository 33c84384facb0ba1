"""The machinery of stages: keys, places, GPU access, progress and Prefect's records."""
