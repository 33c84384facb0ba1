"""The work and the costs of a run, told without running it."""
