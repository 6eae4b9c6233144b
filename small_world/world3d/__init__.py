"""The small world in three dimensions: synthetic people of `bolid_data/synthetic` on 128×128 pixels, from all sides."""
