"""From shards to batches: reading, weighting, precomputed features, sampling, and checks before training."""
