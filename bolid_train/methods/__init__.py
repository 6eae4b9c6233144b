"""Methods that preserve a person's identity, and the adapter that each writes to disk."""
