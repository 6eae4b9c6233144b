"""Small pictures of photos: made once, in few threads, and kept beside the store, which deletes them with their
photos. The page never gets a stranger's bytes: every picture is decoded here and encoded again."""

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from PIL import Image

from bolid_data.images import read_upright
from bolid_data.store import Store

SIDE, PREVIEW_SIDE = 288, 1800
"""Pixels of the longer side of a thumbnail, and of a photo that fills the page."""

_THREADS = 2
_SHORTER = SIDE // 3  # of a photo that is three times as high as wide; longer ones become a little coarse


class Thumbnails:
    def __init__(self, store: Store, background: Callable[[], str]) -> None:
        self._store, self._background = store, background
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="thumbnails")
        self._pending: dict[str, asyncio.Future[bytes]] = {}

    async def thumbnail(self, sha256: str) -> bytes:
        """A thumbnail as WebP. Raises LostPhotoError or BrokenPhotoError."""
        with suppress(FileNotFoundError):
            if data := self._store.thumbnail(sha256).read_bytes():  # empty after a power loss
                return data
        if sha256 not in self._pending:
            making = asyncio.get_running_loop().run_in_executor(self._pool, self._make, sha256)
            self._pending[sha256] = making
            making.add_done_callback(lambda _: self._pending.pop(sha256, None))
        return await asyncio.shield(self._pending[sha256])

    async def preview(self, sha256: str) -> bytes:
        """A photo as a JPEG that fills a screen, made anew every time. Raises as `thumbnail`."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._preview, sha256)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _make(self, sha256: str) -> bytes:
        data = _encode(self._scaled(sha256, SIDE, 2 * _SHORTER), "WEBP", quality=78, method=2)
        file = self._store.thumbnail(sha256)
        partial = file.with_name(f".{file.name}.part")
        with suppress(OSError):  # a full disk, or `bolid forget`, which deletes what is unfinished
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(data)
            partial.replace(file)
        # `bolid forget` deletes first the photo, and then the thumbnail: of the two of us, the later one deletes it.
        if not self._store.locate(sha256).is_file():
            file.unlink(missing_ok=True)
        return data

    def _preview(self, sha256: str) -> bytes:
        return _encode(self._scaled(sha256, PREVIEW_SIDE, PREVIEW_SIDE), "JPEG", quality=88)

    def _scaled(self, sha256: str, side: int, at_least: int) -> Image.Image:
        image = read_upright(self._store.read(sha256), self._background(), at_least)
        image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
        return image


def _encode(image: Image.Image, image_format: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()
