"""The training loop and what it needs: optimisers, schedules, checkpoints, random streams."""
