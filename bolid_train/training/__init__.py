"""A training run: its steps, its checkpoints, its validation pictures."""
