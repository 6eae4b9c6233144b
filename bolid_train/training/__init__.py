"""A training run: steps, checkpoints and validation images."""
