"""Refinement of masks by the Segment Anything models: SAM, HQ-SAM and SAM 2 (paper A.3, C.4)."""
