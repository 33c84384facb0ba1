"""Inference: proposals, selection, correction, smoothing and CRF as plain functions on arrays."""
