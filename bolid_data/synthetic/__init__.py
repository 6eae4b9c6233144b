"""Pictures of made-up adults in three dimensions, with everything known about them: `photo.py` is the way in."""
