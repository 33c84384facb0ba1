"""Pre-training of each network on synthetic clips."""
