"""The small world: drawn people whose bodies differ more than real ones, at the size that the small SDXL works in."""
