"""Pictures from a finished run."""
