"""`bolid rebuild`, its first half: the photos that somebody's lock pins, from where it saw them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bolid_data.catalog import AddressList
from bolid_data.collect.http.address import Served, is_this_machine, origin
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.ingest import Intake
from bolid_data.collect.run import run_politely
from bolid_data.collect.sites.theplace import find_profile
from bolid_data.collect.sources.locked import FILE, PinnedList, batches, known_of
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.lockfile import Lock
from bolid_data.lost_photos import find_lost, note_lost
from bolid_data.manifest import WebSource
from bolid_data.names import slug
from bolid_data.progress import note
from bolid_data.public_address import public_address
from bolid_data.records import Person, Sighting

KINDS = ("gone", "changed", "opted_out", "failed")
"""Why an address gives its pinned photo no more."""

_GONE = {404, 410}


@dataclass(frozen=True)
class Options:
    """How the addresses of a lock are reached from here."""

    base_url: str | None = None  # where the site is served, if not at its own address
    folder: Path | None = None  # where the folder of a `folder` dataset lies
    contact: str | None = None
    delay: float | None = None
    urls: Path | None = None  # a list of person,url that holds what the lock left out of its addresses
    allow_local: bool = False  # may the lock's addresses name this machine and private networks?


def fetch_pinned(lock: Lock, dataset: Dataset, options: Options) -> dict[str, list[dict[str, str]]]:
    """Stores every pinned photo whose bytes are still what they were; run again, it does what is left.

    Returns by KINDS the addresses of the others: `url`, `sha256` and `reason`. Raises UsageError for a data folder
    that holds something else, and for addresses that cannot be reached without a further option.
    """
    site, whole = _site(lock, options), _whole_addresses(lock, options)
    _check_reach(lock, site, options)
    _begin(lock, dataset)
    with _served(lock, site, options) as (site, delay):
        intake = Intake(dataset)
        for person in _people(lock):
            intake.person(person)
            intake.tally.people += 1
        intake.commit()
        source = WebSource(contact=options.contact, delay=delay)

        async def fetch(fetcher: Fetcher) -> None:
            await PinnedList(lock.photos, options.folder, source, fetcher, intake, whole, options.allow_local).run()

        try:
            run_politely(fetch, source, site, intake)
        finally:
            intake.commit()
    if inside := intake.tally.reasons.get("private_address"):
        note(
            f"rebuild: {inside} addresses lead to this machine or a private network, and were not asked for; where you "
            "trust the lock, --allow-local fetches from there"
        )
    return _missing(lock, dataset)


def _begin(lock: Lock, dataset: Dataset) -> None:
    root = dataset.root
    new = not dataset.catalog.path.exists()
    if new and (found := next((entry for entry in root.iterdir() if not entry.name.startswith(".")), None)):
        raise UsageError(f"{root}: is not empty ({found.name} is in it); name an empty folder with --data")
    dataset.prepare()
    dataset.catalog.pins.begin_rebuild(lock.sha256)
    note_lost("rebuild", find_lost(dataset))


def _people(lock: Lock) -> list[Person]:
    """The pinned people; those an older lock only has photos of are named by their slugs."""
    people = {s.person: Person(s.person, s.person, "") for photo in lock.photos for s in photo.sightings}
    people |= {row.person: Person(row.person, row.name, row.url or "", row.listed_photos) for row in lock.people}
    return list(people.values())


def _site(lock: Lock, options: Options) -> Served:
    """The site under whose origin the lock keeps its addresses."""
    if lock.source and lock.source.profile:
        return Served(find_profile(lock.source.profile).origin, options.base_url)
    if not options.base_url:
        return Served()
    origins = {origin(url) for url in _addresses(lock)}
    if len(origins) != 1:
        raise UsageError(f"--base-url: the lock's addresses are of {len(origins)} hosts; it can stand for one only")
    return Served(origins.pop(), options.base_url)


def _check_reach(lock: Lock, site: Served, options: Options) -> None:
    """Whether all addresses can be asked for, before the first one is."""
    from_folder = any(s.url.startswith(FILE) for photo in lock.photos for s in photo.sightings)
    if from_folder and not options.folder:
        raise UsageError("the lock's photos come from a folder; say with --folder where it lies on this machine")
    if from_folder and options.folder and not options.folder.is_dir():
        raise UsageError(f"--folder {options.folder}: no such folder")
    if options.contact:
        return
    if _embedded(lock) and not options.base_url:
        site = Served(site.origin, "http://localhost")  # it will be
    if elsewhere := next((url for url in _addresses(lock) if not is_this_machine(site.served(url))), None):
        raise UsageError(
            f"--contact is missing; the owner of {origin(elsewhere)} must know whom to ask (mailto:you@example.org)"
        )


@contextmanager
def _served(lock: Lock, site: Served, options: Options) -> Iterator[tuple[Served, float]]:
    """Where the site is served while photos are fetched, and the seconds between two requests to it."""
    usual = WebSource.model_fields["delay"].default
    if options.base_url or not _embedded(lock):
        yield site, usual if options.delay is None else options.delay
        return
    from bolid_data.gallery import draw_gallery, serve_gallery

    with serve_gallery(draw_gallery(seed=lock.seed)) as gallery:
        yield Served(site.origin, gallery.base_url), options.delay or 0.0  # nobody else is kept waiting


def _whole_addresses(lock: Lock, options: Options) -> dict[tuple[str, str], list[str]]:
    """Addresses with what the lock left out of them, by person and by the address that the lock has; of one there may
    be several."""
    cut = {(s.person, s.url) for photo in lock.photos for s in photo.sightings if s.left_out}
    if options.urls is None:
        if cut:
            note(
                f"rebuild: {len(cut)} addresses are in the lock without their secrets; --urls LIST supplies them again"
            )
        return {}
    if not options.urls.is_file():
        raise UsageError(f"--urls {options.urls}: no such file")
    whole: dict[tuple[str, str], list[str]] = {}
    for batch in AddressList(options.urls).batches():
        for name, url in batch:
            if (place := (slug(name), public_address(url)[0])) in cut:
                whole.setdefault(place, []).append(url)
    note(
        f"rebuild: {options.urls} has {len(whole)} of the {len(cut)} addresses that the lock has without their secrets"
    )
    return whole


def _embedded(lock: Lock) -> bool:
    return bool(lock.source and lock.source.serve_gallery)


def _addresses(lock: Lock) -> Iterator[str]:
    """Of photos and their pages on the web."""
    for photo in lock.photos:
        for sighting in photo.sightings:
            yield from (url for url in (sighting.url, sighting.page_url) if url and not url.startswith(FILE))


def _missing(lock: Lock, dataset: Dataset) -> dict[str, list[dict[str, str]]]:
    """By KINDS the addresses of photos that are not here, and what came of each; they are named on stderr."""
    missing: dict[str, list[dict[str, str]]] = {kind: [] for kind in KINDS}
    for batch in batches(lock.photos):
        stored, known = known_of(dataset.catalog, batch)
        for photo in batch:
            if photo.sha256 in stored:
                continue
            if photo.kept and not photo.sightings:  # locked when it was opted out, and not yet judged again
                missing["opted_out"].append({"url": "", "sha256": photo.sha256, "reason": "opted_out"})
                note(f"rebuild: opted out: {photo.sha256} (its address is not in the lock)")
            for url in dict.fromkeys(sighting.url for sighting in photo.sightings):
                if sighting := known.get(url):  # none behind an opt-out: it was not asked
                    kind, reason = _kind(sighting), sighting.reason or ""
                    missing[kind].append({"url": url, "sha256": photo.sha256, "reason": reason})
                    note(f"rebuild: {kind.replace('_', ' ')}: {url} ({reason.replace('_', ' ')})")
    return missing


def _kind(sighting: Sighting) -> str:
    if sighting.state == "opted_out" or sighting.reason == "robots":
        return "opted_out"
    if sighting.reason == "changed":
        return "changed"
    return "gone" if sighting.http_status in _GONE or sighting.reason == "missing" else "failed"
