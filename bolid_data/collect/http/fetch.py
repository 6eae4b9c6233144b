"""Pages and photos by their canonical addresses, where their owners allow such use of them."""

import re
from dataclasses import dataclass

import httpx

from bolid_data.collect.http.client import Client
from bolid_data.collect.http.consent import header_opt_out, list_header_opt_out, meta_opt_out, tdm_opt_out
from bolid_data.collect.http.failure import FetchError
from bolid_data.collect.http.host import Host
from bolid_data.records import Validators

MAX_PAGE = 10_000_000
MAX_PHOTO = 100_000_000


@dataclass(frozen=True)
class Page:
    """A page's text, or None where it has not changed since the validators it was asked with."""

    text: str | None
    validators: Validators


class Fetcher(Client):
    async def page(self, url: str, encoding: str, links: bool, since: Validators | None = None) -> Page:
        """A page of links, or of a photo. Raises FetchError, an opt-out of what it is for included."""

        async def once() -> Page:
            async with self.exchange(url, conditions(since) | {"Accept-Encoding": "gzip"}) as (answer, host):
                tags = answer.headers.get_list("x-robots-tag")
                _refuse(url, answer, host, list_header_opt_out(tags) if links else header_opt_out(tags))
                if answer.status_code == 304:
                    return Page(None, since or Validators())
                html = bytearray()
                async for chunk in self.body(answer, url, MAX_PAGE):
                    html += chunk
                text = _decoded(bytes(html), answer.charset_encoding, encoding)
                _refuse(url, answer, host, meta_opt_out(text, links))
                return Page(text, validators(answer))

        return await self.patiently(once)

    async def head(self, url: str) -> Validators:
        """What the server says of a photo today, without its bytes. Raises FetchError, an opt-out included."""

        async def once(method: str) -> Validators:
            async with self.exchange(url, {"Accept-Encoding": "identity"}, method) as (answer, host):
                check_photo(url, answer, host)
                return validators(answer)

        try:
            return await self.patiently(lambda: once("HEAD"))
        except FetchError as error:
            if error.status not in (400, 403, 405, 501):
                raise
            return await self.patiently(lambda: once("GET"))  # hung up on after its headers


def check_photo(url: str, answer: httpx.Response, host: Host) -> None:
    """Raises FetchError when the answer to a request for a photo, or the rules of the host it is from, opt it out."""
    _refuse(url, answer, host, header_opt_out(answer.headers.get_list("x-robots-tag")))


def _refuse(url: str, answer: httpx.Response, host: Host, consent: str | None) -> None:
    """Raises FetchError for an opt-out found before, or by TDMRep."""
    consent = consent or tdm_opt_out(answer.headers.get("tdm-reservation"), host.tdm, str(answer.url))
    if consent:
        raise FetchError(url, "opted_out", answer.status_code, final=True, consent=consent)


def conditions(since: Validators | None) -> dict[str, str]:
    """Headers that ask for a page or photo only if it has changed since."""
    given = {"If-None-Match": since.etag, "If-Modified-Since": since.last_modified} if since else {}
    return {name: value for name, value in given.items() if value}


def validators(answer: httpx.Response) -> Validators:
    """What the server gave; longer or stranger ones than anybody writes are left out, as they become part of a
    file's name."""
    etag, date = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    plain = re.compile(r"[ !#-\[\]-~]*")  # printable, without the quotes that JSON escapes
    return Validators(
        etag if 0 < len(etag) <= 80 and plain.fullmatch(etag.replace('"', "")) else None,
        date if 0 < len(date) <= 40 and plain.fullmatch(date) else None,
    )


def _decoded(html: bytes, stated: str | None, usual: str) -> str:
    """By the encoding that an answer states, where Python knows it, else by the site's usual one."""
    try:
        return html.decode(stated or usual, errors="replace")
    except (LookupError, ValueError):  # unknown, or one of Python's own that is no encoding of text
        return html.decode(usual, errors="replace")
