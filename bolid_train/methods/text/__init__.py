"""The prompt alone."""
