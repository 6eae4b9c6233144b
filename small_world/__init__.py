"""Drawn people in small photos: every model that ships was trained on them, and the method is measured on them.

It imports the product; the product never imports it.
"""
