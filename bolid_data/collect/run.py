"""`bolid scrape`: collects a manifest's source into the store and the catalog."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bolid_data.collect.contact import require_contact
from bolid_data.collect.display import display, line
from bolid_data.collect.http.address import Mirror, is_this_machine
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.ingest import Ingest
from bolid_data.collect.recheck import Recheck
from bolid_data.collect.sites.theplace import find_profile
from bolid_data.collect.sources.folder import collect_folder
from bolid_data.collect.sources.gallery_site import Crawler
from bolid_data.collect.sources.url_list import UrlList
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.lost_photos import find_lost, note_lost
from bolid_data.manifest import FolderSource, Manifest, ThePlaceSource, UrlsSource, WebSource
from bolid_data.progress import note
from bolid_data.words import counted

_MAX_WARNINGS = 10  # shown


def scrape(manifest: Manifest, dataset: Dataset, recheck_consent: bool = False) -> dict[str, Any]:
    """Collects what the dataset lacks of the source, or rechecks what it has. Returns the run's stats.

    Raises BolidError after the crawl if a page could not be read; what was collected is kept.
    """
    if recheck_consent and isinstance(manifest.source, FolderSource):
        raise UsageError("--recheck-consent: a folder has no addresses on the web to check")
    dataset.prepare()
    note_lost("scrape", find_lost(dataset))
    ingest, site = Ingest(dataset, manifest.source.formats), Mirror()
    try:
        match manifest.source:
            case ThePlaceSource() as source:
                site = crawl_site(source, manifest, ingest, Recheck if recheck_consent else Crawler)
            case UrlsSource() as source:
                _fetch_list(source, manifest, ingest, recheck_consent)
            case FolderSource() as source:
                collect_folder(manifest.folder / source.path, source, ingest)
    finally:
        ingest.commit()
    stats = ingest.stats
    note(f"scrape: {line(stats)}")
    for warning in stats.warnings[:_MAX_WARNINGS]:
        note(f"scrape: warning: {site.in_message(warning)}")
    if len(stats.warnings) > _MAX_WARNINGS:
        note(f"scrape: {counted(len(stats.warnings) - _MAX_WARNINGS, 'more such warning')}")
    if stats.stopped:
        note(f"scrape: stopped at source.{stats.stopped}; run it again to continue")
    if stats.bad_rows:
        invalid = counted(stats.bad_rows, "row of the list is", "rows of the list are")
        raise BolidError(f"{invalid} invalid (the first are shown above); the rest was crawled")
    if errors := stats.drift + stats.errors:
        first = site.in_message(errors[0])
        raise BolidError(f"{counted(len(errors), 'page')} could not be read; the rest was kept. First: {first}")
    return stats.summary()


def crawl_site(
    source: ThePlaceSource, manifest: Manifest, ingest: Ingest, crawler: type[Crawler] | type[Recheck]
) -> Mirror:
    """Runs a crawler on the site. Returns the site and where it was served."""
    profile = find_profile(source.profile)
    min_size = (manifest.filter.min_width, manifest.filter.min_height)
    with _base_url(source, manifest.seed) as base_url:
        if not is_this_machine(served := base_url or profile.origin):
            require_contact(source.contact, "source.contact", served)

        async def crawl(fetcher: Fetcher) -> None:
            if issubclass(crawler, Recheck):
                await crawler(source, profile.encoding, fetcher, ingest).run()
            else:
                await crawler(profile, source, min_size, fetcher, ingest).run()

        site = Mirror(profile.origin, base_url)
        run_politely(crawl, source, site, ingest)
        return site


@contextmanager
def _base_url(source: ThePlaceSource, seed: int) -> Iterator[str | None]:
    """Where the site is served: the manifest's base_url, or the embedded gallery while the crawl runs."""
    if not source.serve_gallery:
        yield source.base_url
        return
    from bolid_data.gallery import draw_gallery, serve_gallery

    with serve_gallery(draw_gallery(seed=seed)) as site:
        yield site.base_url


def _fetch_list(source: UrlsSource, manifest: Manifest, ingest: Ingest, recheck: bool) -> None:
    async def fetch(fetcher: Fetcher) -> None:
        if recheck:
            await Recheck(source, "utf-8", fetcher, ingest).run()
        else:
            await UrlList(manifest.folder / source.path, source, fetcher, ingest).run()

    run_politely(fetch, source, Mirror(), ingest)


def run_politely(job: Callable[[Fetcher], Awaitable[None]], source: WebSource, site: Mirror, ingest: Ingest) -> None:
    """Runs a job with the polite client and shows its progress; hosts that requested back-off are remembered."""

    async def run() -> None:
        async with Fetcher(source, site) as fetcher:
            fetcher.closed |= ingest.catalog.sightings.closed_hosts()
            try:
                await job(fetcher)
            finally:
                ingest.stats.requests, ingest.stats.received = fetcher.requests, fetcher.received
                ingest.catalog.sightings.close_hosts(fetcher.closed)
                for host, until in fetcher.closed.items():
                    note(f"scrape: {site.in_message(host)} requested back-off until {until:%Y-%m-%d %H:%M} UTC")

    try:
        with display(ingest.stats):
            asyncio.run(run())
    except Exception as error:
        failure = error
        while isinstance(failure, ExceptionGroup):  # a task group wraps even a single failure
            failure = failure.exceptions[0]
        if isinstance(failure, BolidError):
            failure.args = (site.in_message(str(failure)),)
        raise failure from error.__cause__
