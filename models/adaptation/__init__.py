"""Adaptation of trained networks to pseudo-labels or annotations (paper, section 3.4)."""
