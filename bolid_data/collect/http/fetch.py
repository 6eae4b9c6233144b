"""Fetches pages and photos by their canonical addresses, unless their owners opted out."""

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
    """A page's text, or None where it has not changed since the given validators."""

    text: str | None
    validators: Validators


class Fetcher(Client):
    async def page(self, url: str, encoding: str, links: bool, since: Validators | None = None) -> Page:
        """A page of links, or the page of a photo. Raises FetchError, also where the page opts that out."""

        async def once() -> Page:
            async with self.exchange(url, conditions(since) | {"Accept-Encoding": "gzip"}) as (response, host):
                tags = response.headers.get_list("x-robots-tag")
                _refuse(url, response, host, list_header_opt_out(tags) if links else header_opt_out(tags))
                if response.status_code == 304:
                    return Page(None, since or Validators())
                html = bytearray()
                async for chunk in self.body(response, url, MAX_PAGE):
                    html += chunk
                text = _decoded(bytes(html), response.charset_encoding, encoding)
                _refuse(url, response, host, meta_opt_out(text, links))
                return Page(text, validators(response))

        return await self.with_retries(once)

    async def head(self, url: str) -> Validators:
        """A photo's current validators, without fetching its bytes. Raises FetchError, also for an opt-out."""

        async def once(method: str) -> Validators:
            async with self.exchange(url, {"Accept-Encoding": "identity"}, method) as (response, host):
                check_photo(url, response, host)
                return validators(response)

        try:
            return await self.with_retries(lambda: once("HEAD"))
        except FetchError as error:
            if error.status not in (400, 403, 405, 501):
                raise
            return await self.with_retries(lambda: once("GET"))  # closed after its headers


def check_photo(url: str, response: httpx.Response, host: Host) -> None:
    """Raises FetchError where the response to a request for a photo, or the rules of its host, opt the photo out."""
    _refuse(url, response, host, header_opt_out(response.headers.get_list("x-robots-tag")))


def _refuse(url: str, response: httpx.Response, host: Host, consent: str | None) -> None:
    """Raises FetchError for the opt-out `consent`, or for one by TDMRep."""
    consent = consent or tdm_opt_out(response.headers.get("tdm-reservation"), host.tdm, str(response.url))
    if consent:
        raise FetchError(url, "opted_out", response.status_code, final=True, consent=consent)


def conditions(since: Validators | None) -> dict[str, str]:
    """Headers that request a page or photo only if it has changed since."""
    headers = {"If-None-Match": since.etag, "If-Modified-Since": since.last_modified} if since else {}
    return {name: value for name, value in headers.items() if value}


def validators(response: httpx.Response) -> Validators:
    """The response's validators; overlong or odd ones are left out, as they become part of a file name."""
    etag, date = response.headers.get("etag", ""), response.headers.get("last-modified", "")
    plain = re.compile(r"[ !#-\[\]-~]*")  # printable, without the quotes that JSON escapes
    return Validators(
        etag if 0 < len(etag) <= 80 and plain.fullmatch(etag.replace('"', "")) else None,
        date if 0 < len(date) <= 40 and plain.fullmatch(date) else None,
    )


def _decoded(html: bytes, stated: str | None, usual: str) -> str:
    """Decodes by the encoding that the response states, where Python knows it, else by the site's usual one."""
    try:
        return html.decode(stated or usual, errors="replace")
    except (LookupError, ValueError):  # unknown, or a Python codec that is not a text encoding
        return html.decode(usual, errors="replace")
