"""Dimension names that several stages write."""

ROW_DIMS = ("time", "object")

MASK_DIMS = ("time", "object", "row", "column")
