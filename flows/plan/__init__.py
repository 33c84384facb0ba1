"""What a run would compute, and what that costs, without running it."""
