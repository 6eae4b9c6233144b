"""Requests to hosts: what is allowed, how fast, and what may go wrong."""
