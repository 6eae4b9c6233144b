"""Trains and runs identity adapters on a frozen SDXL; of a dataset it reads the shards and their index."""
