"""Label-free quality of masks, and the gate that compares rounds by it."""
