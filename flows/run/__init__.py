"""Parts shared by all runs: clips, settings, start weights, stage execution, console and errors."""
