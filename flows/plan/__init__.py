"""The work and the costs of a run, estimated without running it."""
