"""What frozen models say of photos, computed once, cached, and read as the tensors of a batch."""
