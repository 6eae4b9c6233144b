"""Downloads a photo into the store's inbox, and resumes where an earlier attempt stopped."""

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
    """A complete file in the inbox."""

    file: Path
    validators: Validators


class Downloader:
    def __init__(self, fetcher: Fetcher, store: Store) -> None:
        self.fetcher, self.store = fetcher, store
        self._inbox = store.open_inbox()

    async def get(self, url: str) -> Download:
        """Fetches a photo. Raises FetchError."""
        earlier = self._inbox.get(url)
        if earlier and earlier[0].suffix == ".whole":  # a run was killed before its commit
            self._inbox.release(url)
            return Download(*earlier)

        async def once() -> Download:
            return await self._once(url)

        try:
            return await self.fetcher.with_retries(once)
        except FetchError as error:
            earlier = self._inbox.get(url)
            if earlier and (error.final or error.consent or not _resume(*earlier)[0]):
                self._inbox.discard(url)  # it will not be resumed
            raise

    async def _once(self, url: str) -> Download:
        part, part_validators = self._inbox.get(url) or (None, Validators())
        start, headers = _resume(part, part_validators)
        async with self.fetcher.exchange(url, headers | {"Accept-Encoding": "identity"}) as (response, host):
            check_photo(url, response, host)
            if not (part and _continues(response, start)):  # the file has changed, or the server cannot resume
                self._inbox.discard(url)
                if response.status_code in (206, 416):
                    raise TransientError(url, "bad_range", response.status_code)
                start, part_validators = 0, validators(response)
                part = self.store.download_path(url, part_validators)
                self._inbox.put(url, part, part_validators)
            if response.status_code != 416:
                await self._save(response, url, part, start)
        self._inbox.release(url)
        return Download(self.store.mark_complete(part), part_validators)

    async def _save(self, response: httpx.Response, url: str, part: Path, start: int) -> None:
        """Appends the body to a file of `start` bytes, unbuffered, so that a kill loses nothing that was received."""
        with part.open("ab" if start else "wb", buffering=0) as out:
            async for chunk in self.fetcher.body(response, url, MAX_PHOTO - start):
                remaining = memoryview(chunk)
                while remaining:  # a disk that fills up accepts a part first, and fails on the next write
                    remaining = remaining[out.write(remaining) :]


def _resume(part: Path | None, part_validators: Validators) -> tuple[int, dict[str, str]]:
    """How many bytes of a partial file can be kept, and the headers that request the rest."""
    if part is None:
        return 0, {}
    stat = part.stat()
    # RFC 9110, 13.1.5: a strong ETag, or a date that was old when the part was written.
    etag, last_modified = part_validators.etag, part_validators.last_modified
    validator = etag if etag and not etag.startswith("W/") else None
    if etag is None and last_modified and stat.st_mtime - _seconds(last_modified) >= 60:
        validator = last_modified
    if not validator or not stat.st_size:
        return 0, {}
    return stat.st_size, {"Range": f"bytes={stat.st_size}-", "If-Range": validator}


def _continues(response: httpx.Response, start: int) -> bool:
    """Whether the response continues a file of which `start` bytes are here; the rest may be empty."""
    content_range = response.headers.get("content-range", "")
    if response.status_code == 416:
        return start > 0 and content_range == f"bytes */{start}"
    return start > 0 and response.status_code == 206 and content_range.startswith(f"bytes {start}-")


def _seconds(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return math.inf
