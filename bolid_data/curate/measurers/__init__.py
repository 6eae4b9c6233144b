"""Models that record what they detect on photos, never a verdict: a file for each."""
