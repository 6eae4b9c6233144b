"""Generates pictures with a finished run."""
