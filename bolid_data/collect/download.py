"""A photo's bytes into the store's inbox: whole or not at all, and going on where an earlier try stopped."""

import math
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from bolid_data.collect.http.failure import FetchError, TransientError
from bolid_data.collect.http.fetch import MAX_PHOTO, Fetcher, check_photo, validators
from bolid_data.records import Validators
from bolid_data.store import Store


@dataclass(frozen=True)
class Download:
    """A whole file that waits in the inbox."""

    file: Path
    validators: Validators


class Downloader:
    def __init__(self, fetcher: Fetcher, store: Store) -> None:
        self.fetcher, self.store = fetcher, store
        self._arrivals = store.arrivals()

    async def get(self, url: str) -> Download:
        """Fetches a photo. Raises FetchError."""
        if (left := self._arrivals.get(url)) and left[0].suffix == ".whole":  # a run was killed before its commit
            self._arrivals.take(url)
            return Download(*left)

        async def once() -> Download:
            return await self._once(url)

        try:
            return await self.fetcher.patiently(once)
        except FetchError as error:
            left = self._arrivals.get(url)
            if left and (error.final or error.consent or not _resume(*left)[0]):
                self._arrivals.discard(url)  # nothing will come of it
            raise

    async def _once(self, url: str) -> Download:
        part, known = self._arrivals.get(url) or (None, Validators())
        start, more = _resume(part, known)
        async with self.fetcher.exchange(url, more | {"Accept-Encoding": "identity"}) as (answer, host):
            check_photo(url, answer, host)
            if not (part and _goes_on(answer, start)):  # another file by now, or a server that cannot go on
                self._arrivals.discard(url)
                if answer.status_code in (206, 416):
                    raise TransientError(url, "bad_range", answer.status_code)
                start, known = 0, validators(answer)
                part = self.store.arriving(url, known)
                self._arrivals.put(url, part, known)
            if answer.status_code != 416:
                await self._save(answer, url, part, start)
        self._arrivals.take(url)
        return Download(self.store.arrived(part), known)

    async def _save(self, answer: httpx.Response, url: str, part: Path, start: int) -> None:
        """Appends the body to a file of `start` bytes, unbuffered: what has come is on the disk when we are killed."""
        with part.open("ab" if start else "wb", buffering=0) as out:
            async for chunk in self.fetcher.body(answer, url, MAX_PHOTO - start):
                left = memoryview(chunk)
                while left:  # a disk that fills up takes a part first, and fails the next time
                    left = left[out.write(left) :]


def _resume(part: Path | None, known: Validators) -> tuple[int, dict[str, str]]:
    """How many bytes of a part count, and the headers that ask for the rest."""
    if part is None:
        return 0, {}
    stat = part.stat()
    # RFC 9110, 13.1.5: a strong ETag, or a date that was old when the part was written.
    validator = known.etag if known.etag and not known.etag.startswith("W/") else None
    if known.etag is None and known.last_modified and stat.st_mtime - _seconds(known.last_modified) >= 60:
        validator = known.last_modified
    if not validator or not stat.st_size:
        return 0, {}
    return stat.st_size, {"Range": f"bytes={stat.st_size}-", "If-Range": validator}


def _goes_on(answer: httpx.Response, start: int) -> bool:
    """Whether the answer is the rest of a file of which `start` bytes are here, be it that nothing is left of it."""
    content_range = answer.headers.get("content-range", "")
    if answer.status_code == 416:
        return start > 0 and content_range == f"bytes */{start}"
    return start > 0 and answer.status_code == 206 and content_range.startswith(f"bytes {start}-")


def _seconds(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return math.inf
