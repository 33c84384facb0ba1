"""Inference: proposals, selection, correction and CRF as plain functions on arrays."""
