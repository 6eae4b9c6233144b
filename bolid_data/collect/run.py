"""`bolid scrape`: from a manifest's source to the store and the catalog."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bolid_data.collect.display import display, line
from bolid_data.collect.http.address import Served, is_this_machine
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.ingest import Intake
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

_WARNINGS = 10  # that are shown


def scrape(manifest: Manifest, dataset: Dataset, recheck_consent: bool = False) -> dict[str, Any]:
    """Collects what the source has and the dataset lacks, or asks again for what it has. Returns the run's tally.

    Raises BolidError after the crawl when a page could not be read: what was collected is kept.
    """
    if recheck_consent and isinstance(manifest.source, FolderSource):
        raise UsageError("--recheck-consent: a folder has no owner on the web to ask")
    dataset.prepare()
    note_lost("scrape", find_lost(dataset))
    intake = Intake(dataset, manifest.source.formats)
    try:
        match manifest.source:
            case ThePlaceSource() as source:
                least = (manifest.filter.min_width, manifest.filter.min_height)
                _crawl(source, manifest.seed, least, intake, recheck_consent)
            case UrlsSource() as source:
                _fetch_list(source, manifest, intake, recheck_consent)
            case FolderSource() as source:
                collect_folder(manifest.folder / source.path, source, intake)
    finally:
        intake.commit()
    tally = intake.tally
    note(f"scrape: {line(tally)}")
    for warning in tally.warnings[:_WARNINGS]:
        note(f"scrape: warning: {warning}")
    if len(tally.warnings) > _WARNINGS:
        note(f"scrape: {len(tally.warnings) - _WARNINGS} more such warnings")
    if tally.stopped:
        note(f"scrape: stopped at source.{tally.stopped}; run it again to go on")
    if tally.bad_rows:
        raise BolidError(
            f"{tally.bad_rows} rows of the list are bad, the first of them named above; the rest was crawled"
        )
    if troubles := tally.drift + tally.errors:
        raise BolidError(f"{len(troubles)} pages could not be read; the rest was kept. First: {troubles[0]}")
    return tally.summary()


def _crawl(source: ThePlaceSource, seed: int, least: tuple[int, int], intake: Intake, recheck: bool) -> None:
    profile = find_profile(source.profile)
    with _base_url(source, seed) as base_url:
        if not source.contact and not is_this_machine(base_url or profile.origin):
            raise UsageError("source.contact is missing; a site's owner must know whom to ask (mailto:you@example.org)")

        async def crawl(fetcher: Fetcher) -> None:
            if recheck:
                await Recheck(source, profile.encoding, fetcher, intake).run()
            else:
                await Crawler(profile, source, least, fetcher, intake).run()

        run_politely(crawl, source, Served(profile.origin, base_url), intake)


@contextmanager
def _base_url(source: ThePlaceSource, seed: int) -> Iterator[str | None]:
    """Where the site is served: by the manifest, or by the embedded gallery for as long as the crawl takes."""
    if not source.serve_gallery:
        yield source.base_url
        return
    from bolid_data.gallery import draw_gallery, serve_gallery

    with serve_gallery(draw_gallery(seed=seed)) as site:
        yield site.base_url


def _fetch_list(source: UrlsSource, manifest: Manifest, intake: Intake, recheck: bool) -> None:
    async def fetch(fetcher: Fetcher) -> None:
        if recheck:
            await Recheck(source, "utf-8", fetcher, intake).run()
        else:
            await UrlList(manifest.folder / source.path, source, fetcher, intake).run()

    run_politely(fetch, source, Served(), intake)


def run_politely(job: Callable[[Fetcher], Awaitable[None]], source: WebSource, site: Served, intake: Intake) -> None:
    """Runs a job with the polite client, shown while it runs; hosts that asked for peace are remembered."""

    async def run() -> None:
        async with Fetcher(source, site) as fetcher:
            fetcher.closed |= intake.catalog.sightings.closed_hosts()
            try:
                await job(fetcher)
            finally:
                intake.tally.requests, intake.tally.received = fetcher.requests, fetcher.received
                intake.catalog.sightings.close_hosts(fetcher.closed)
                for host, until in fetcher.closed.items():
                    note(f"scrape: {host} asked to be left alone until {until:%Y-%m-%d %H:%M} UTC")

    try:
        with display(intake.tally):
            asyncio.run(run())
    except ExceptionGroup as group:  # a task group wraps even a single failure
        failure: Exception = group
        while isinstance(failure, ExceptionGroup):
            failure = failure.exceptions[0]
        raise failure from group
