"""IP-Adapter on one reference photo."""
