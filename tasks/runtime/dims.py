"""Dimension names that several stages use."""

ROW_DIMS = ("time", "object")

LABEL_DIMS = ("time", "row", "column")

MASK_DIMS = ("time", "object", "row", "column")
