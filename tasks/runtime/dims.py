"""Dimension names that several stages use."""

ROW_DIMS = ("time", "object")

MASK_DIMS = ("time", "object", "row", "column")
