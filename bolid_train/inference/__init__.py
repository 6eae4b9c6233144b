"""Generates images with a finished run."""
