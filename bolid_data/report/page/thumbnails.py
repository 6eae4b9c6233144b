"""Small pictures of photos, as `data:` URIs. A photo may be huge, damaged or gone: each gives no picture and no error,
and all pictures of a page together stay below a limit."""

import base64
import io
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from markupsafe import Markup
from PIL import Image

from bolid_data.errors import BolidError
from bolid_data.images import read_upright
from bolid_data.store import Store

SIDE = 160
"""Longest side of a photo in a sheet, in pixels."""
PORTRAIT = 64
"""Side of a person's portrait, a square."""
MAX_BYTES = 4_000_000
"""Of all pictures of a page, as they are written into it."""

_QUALITIES = ((1.0, 60), (1.0, 35), (0.6, 35))
_MAX_PICTURE = 7_000
"""Bytes of one picture; noise is made smaller and coarser until it fits."""


class Thumbnails:
    """Pictures by sha256 and side, made once and before they are asked for."""

    def __init__(self, read: Callable[[str], bytes], background: str, max_bytes: int = MAX_BYTES) -> None:
        self._read, self._background, self._left = read, background, max_bytes
        self._pictures: dict[tuple[str, int], str | None] = {}
        self.left_out = 0

    @classmethod
    def of(cls, store: Store, background: str) -> "Thumbnails":
        return cls(store.read, background)

    def make(self, sha256s: Iterable[str], side: int = SIDE) -> None:
        """Makes the pictures of these photos, several at a time and in their order, as long as there is room."""
        missing = [sha256 for sha256 in dict.fromkeys(sha256s) if (sha256, side) not in self._pictures]
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for sha256, picture in zip(
                missing, pool.map(lambda sha256: self._draw(sha256, side), missing), strict=True
            ):
                if picture and len(picture) > self._left:
                    picture, self.left_out = None, self.left_out + 1
                self._left -= len(picture or "")
                self._pictures[sha256, side] = picture

    @property
    def made(self) -> int:
        """The number of photos with a picture."""
        return len({sha256 for (sha256, _), picture in self._pictures.items() if picture})

    def get(self, sha256: str, side: int = SIDE) -> str | None:
        """The picture; None where there is none."""
        return self._pictures.get((sha256, side))

    def encode(self, data: bytes, side: int) -> str | None:
        """A picture of bytes that are in no store, such as a site's mark."""
        try:
            image = read_upright(data, "#808080", at_least=side)
        except BolidError:
            return None
        picture = _uri(image, side)
        if len(picture) > self._left:
            self.left_out += 1
            return None
        self._left -= len(picture)
        return picture

    def _draw(self, sha256: str, side: int) -> str | None:
        try:
            image = read_upright(self._read(sha256), self._background, at_least=side)
        except BolidError:
            return None
        return _uri(_head(image) if side == PORTRAIT else image, side)


def _head(image: Image.Image) -> Image.Image:
    """The square at the top of a photo, where a person's head is; the middle of a wide one."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 20
    return image.crop((left, top, left + side, top + side))


def _uri(image: Image.Image, side: int) -> Markup:
    content = b""
    for scale, quality in _QUALITIES:
        small = image.copy()
        small.info = {}
        small.thumbnail((round(side * scale), round(side * scale)), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        small.save(file, "WEBP", quality=quality, method=4)
        content = file.getvalue()
        if len(content) <= _MAX_PICTURE:
            break
    return Markup("data:image/webp;base64,") + base64.b64encode(content).decode()
