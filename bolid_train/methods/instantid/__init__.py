"""InstantID on one reference photo: tokens of an identity embedding, and IdentityNet."""
