"""`bolid scrape`: from a manifest's source to the store and the catalog."""

import asyncio
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from bolid_data.collect.crawler import Crawler
from bolid_data.collect.fetch import Fetcher, is_this_machine
from bolid_data.collect.folder import collect_folder
from bolid_data.collect.intake import Intake
from bolid_data.collect.theplace import find_profile
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import FolderSource, Manifest, ThePlaceSource
from bolid_data.progress import bar, note


def scrape(manifest: Manifest, dataset: Dataset) -> dict[str, Any]:
    """Collects what the source has and the dataset lacks. Returns the run's tally.

    Raises BolidError after the crawl when a page drifted: what was collected is kept.
    """
    dataset.catalog.create()
    intake = Intake(dataset.catalog, dataset.store)
    try:
        match manifest.source:
            case ThePlaceSource() as source:
                _crawl(source, manifest.seed, intake)
            case FolderSource() as source:
                collect_folder(manifest.folder / source.path, source, intake)
            case _:
                raise UsageError("source.kind: 'urls' cannot be collected yet; use theplace or folder")
    finally:
        intake.commit()
    tally = intake.tally
    known = f", {tally.known} already had" if tally.known else ""
    gone = "".join(f", {count} {reason}" for reason, count in sorted(tally.reasons.items()))
    note(f"scrape: {tally.people} people, {tally.new} photos ({tally.bytes / 1e6:.1f} MB){known}{gone}")
    if tally.errors:
        raise BolidError(f"{len(tally.errors)} pages could not be read; the rest was kept. First: {tally.errors[0]}")
    return asdict(tally)


def _crawl(source: ThePlaceSource, seed: int, intake: Intake) -> None:
    profile = find_profile(source.profile)
    with ExitStack() as stack:
        base_url = source.base_url
        if source.serve_gallery:
            from bolid_data.gallery import draw_gallery, serve_gallery

            base_url = stack.enter_context(serve_gallery(draw_gallery(seed=seed))).base_url
        if not source.contact and not is_this_machine(base_url or profile.origin):
            raise UsageError("source.contact is missing; a site's owner must know whom to ask (mailto:you@example.org)")
        progress = stack.enter_context(bar())

        async def run() -> None:
            async with Fetcher(profile.origin, base_url, source.contact, source.delay, source.concurrency) as fetcher:
                await Crawler(profile, source, fetcher, intake).run(progress)

        try:
            asyncio.run(run())
        except ExceptionGroup as group:  # a task group wraps even a single failure
            failure: Exception = group
            while isinstance(failure, ExceptionGroup):
                failure = failure.exceptions[0]
            raise failure from group
