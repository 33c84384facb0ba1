"""Inputs of the networks: resized frames, optical flow, ViT features, and where their weights come from."""
