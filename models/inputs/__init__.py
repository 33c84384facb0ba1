"""Inputs of the networks: resized frames, optical flow, ViT features, and the weights that these need."""
