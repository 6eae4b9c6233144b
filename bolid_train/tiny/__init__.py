"""The small SDXL that is built here, for machines without a model hub."""
