"""Trains the small world's models from nothing, each by one script; `make world` runs them in order."""
