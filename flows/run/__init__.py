"""Parts shared by all runs: clips, settings, start weights, stage execution, Prefect's server, console and errors."""
