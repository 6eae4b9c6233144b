"""Measures trained runs on people they have not seen; what each number means stands in `metrics.py`."""
