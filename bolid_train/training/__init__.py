"""A training run: steps, checkpoints and validation pictures."""
