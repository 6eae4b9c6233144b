"""The embedded gallery: made-up people that real models detect, on a site like those that are crawled."""

from pathlib import Path

from bolid_data.gallery.site import Site, serve_gallery

__all__ = ["Site", "draw_gallery", "serve_gallery"]


def draw_gallery(people: int = 8, photos: int = 24, seed: int = 0, cache: Path | None = None) -> Path:
    """See `bolid_data.gallery.draw.draw_gallery`; the drawing code is imported only when a gallery is drawn."""
    from bolid_data.gallery.draw import draw_gallery as draw

    return draw(people, photos, seed, cache)
