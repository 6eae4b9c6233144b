"""IP-Adapter on weighted views."""
