"""Synthetic clips: textures, shapes and trajectories rendered with exact masks and flow."""
