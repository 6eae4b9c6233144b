"""A LoRA of one person."""
