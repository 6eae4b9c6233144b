"""The embedded gallery: synthetic people that real models find, on a site like those the crawler reads."""

from pathlib import Path

from bolid_data.gallery.site import Site, serve_gallery

__all__ = ["Site", "draw_gallery", "serve_gallery"]


def draw_gallery(people: int = 8, photos: int = 24, seed: int = 0, cache: Path | None = None) -> Path:
    """See `bolid_data.gallery.draw.draw_gallery`; what draws is imported only when something is drawn."""
    from bolid_data.gallery.draw import draw_gallery as draw

    return draw(people, photos, seed, cache)
