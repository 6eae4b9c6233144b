"""Methods that keep a person's identity, and the adapter that each leaves on disk."""
