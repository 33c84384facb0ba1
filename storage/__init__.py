"""Videos and data sets in; artifacts, checkpoints, masks and tracked runs out. Knows no networks."""
