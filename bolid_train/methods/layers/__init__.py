"""Layers that methods add to the UNet's attention."""
