"""Evaluates trained runs on people they were not trained on; `metrics.py` defines the metrics."""
