"""A static server of synthetic photos, as fast as Python allows: `python -m benchmarks.server COUNT BYTES`.

Runs in a process of its own, so that only the client is measured. Prints its port, then serves until it is killed.
"""

import asyncio
import io
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

_MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_BASE_PHOTOS = 64  # held in memory; the others differ from them in a few bytes


class Photos:
    """Photo number i: a JPEG of `size` bytes that differs from all others."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self._bodies = [_jpeg(number, size) for number in range(min(count, _BASE_PHOTOS))]

    def answer(self, path: bytes) -> list[bytes]:
        name = path.rpartition(b"/")[2].partition(b".")[0]
        if not name.isdigit() or int(name) >= self.count:
            return [_MISSING]
        number = int(name)
        body = self._bodies[number % len(self._bodies)]
        # A comment segment of four bytes after the JPEG's first two makes each photo unique.
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body) + 8}\r\n\r\n"
        return [head.encode(), body[:2], b"\xff\xfe\x00\x06" + number.to_bytes(4), body[2:]]


class _Protocol(asyncio.Protocol):
    def __init__(self, photos: Photos) -> None:
        self._photos, self._read = photos, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._read = (self._read + data).split(b"\r\n\r\n")
        for request in requests:
            self._transport.writelines(self._photos.answer(request.split(b" ", 2)[1]))


def _jpeg(seed: int, size: int) -> bytes:
    """A photo of about `size` bytes: a square of noise, whose size hardly depends on the seed."""
    side = max(8, round(math.sqrt(size / 0.9)))
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(
        out, "JPEG", quality=90
    )
    return out.getvalue()


async def _serve(count: int, size: int) -> None:
    photos = Photos(count, size)
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(photos), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def serve(count: int, size: int) -> Iterator[str]:
    """The base address at which a separate process serves `<number>.jpg`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", str(count), str(size)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/photos"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
