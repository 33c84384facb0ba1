"""Rounds: their inputs, stages, metrics, records in MLflow and results."""
