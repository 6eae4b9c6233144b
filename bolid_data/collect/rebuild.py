"""First half of `bolid rebuild`: fetches the photos of a lock from their addresses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bolid_data.catalog import AddressList
from bolid_data.collect.contact import require_contact
from bolid_data.collect.http.address import Mirror, is_this_machine, origin
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.http.transport import is_private
from bolid_data.collect.ingest import Ingest
from bolid_data.collect.run import run_politely
from bolid_data.collect.sites.theplace import find_profile
from bolid_data.collect.sources.locked import FILE, LockedList, batches, look_up_batch
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.lockfile import Lock
from bolid_data.lost_photos import find_lost, note_lost
from bolid_data.manifest import WebSource
from bolid_data.names import slug
from bolid_data.progress import note
from bolid_data.public_address import public_address
from bolid_data.records import ListedPerson, Sighting
from bolid_data.words import counted

KINDS = ("gone", "changed", "opted_out", "failed")
"""Why an address no longer yields its locked photo."""

_GONE = {404, 410}


@dataclass(frozen=True)
class Options:
    """How to reach the addresses of a lock from this machine."""

    base_url: str | None = None  # where the site is served, if not at its origin
    folder: Path | None = None  # the source folder of a `folder` dataset
    contact: str | None = None
    delay: float | None = None
    urls: Path | None = None  # an addresses list with the secrets that the lock leaves out
    allow_local: bool = False  # may the lock's addresses name this machine and private networks?


def fetch_locked(lock: Lock, dataset: Dataset, options: Options) -> dict[str, list[dict[str, str]]]:
    """Stores every locked photo whose bytes are unchanged; running it again continues.

    Returns the addresses of the other photos by KINDS: `url`, `sha256` and `reason`. Raises UsageError for a data
    folder that holds something else, and for addresses that need a further option.
    """
    site, full_addresses = _site(lock, options), _full_addresses(lock, options)
    _check_reach(lock, site, options)
    _begin(lock, dataset)
    with _served(lock, site, options) as (site, delay):
        ingest = Ingest(dataset)
        for person in _people(lock):
            ingest.add_person(person)
            ingest.stats.people += 1
        ingest.commit()
        source = WebSource(contact=options.contact, delay=delay)

        async def fetch(fetcher: Fetcher) -> None:
            locked = LockedList(
                lock.photos, options.folder, source, fetcher, ingest, full_addresses, options.allow_local
            )
            await locked.run()

        try:
            run_politely(fetch, source, site, ingest)
        finally:
            ingest.commit()
    if private := ingest.stats.reasons.get("private_address"):
        lead = counted(private, "address leads", "addresses lead")
        note(
            f"rebuild: {lead} to this machine or a private network and got no request; if you trust the lock, allow it "
            "with --allow-local"
        )
    return _missing(lock, dataset)


def _begin(lock: Lock, dataset: Dataset) -> None:
    root = dataset.root
    new = not dataset.catalog.path.exists()
    if new and (entry := next((entry for entry in root.iterdir() if not entry.name.startswith(".")), None)):
        raise UsageError(f"{root}: is not empty ({entry.name} is in it); name an empty folder with --data")
    dataset.prepare()
    dataset.catalog.lock_content.begin_rebuild(lock.sha256)
    note_lost("rebuild", find_lost(dataset))


def _people(lock: Lock) -> list[ListedPerson]:
    """The people of the lock; people of whom an older lock has only photos are named by their slugs."""
    people = {s.person: ListedPerson(s.person, s.person, "") for photo in lock.photos for s in photo.sightings}
    people |= {row.person: ListedPerson(row.person, row.name, row.url or "", row.listed_photos) for row in lock.people}
    return list(people.values())


def _site(lock: Lock, options: Options) -> Mirror:
    """The site under whose origin the lock stores its addresses."""
    if lock.source and lock.source.profile:
        return Mirror(find_profile(lock.source.profile).origin, options.base_url)
    if not options.base_url:
        return Mirror()
    origins = {origin(url) for url in _addresses(lock)}
    if len(origins) != 1:
        raise UsageError(f"--base-url: the lock's addresses are of {len(origins)} hosts; it can stand for one only")
    return Mirror(origins.pop(), options.base_url)


def _check_reach(lock: Lock, site: Mirror, options: Options) -> None:
    """Raises UsageError where some address cannot be requested, before the first one is."""
    from_folder = any(s.url.startswith(FILE) for photo in lock.photos for s in photo.sightings)
    if from_folder and not options.folder:
        raise UsageError("the lock's photos come from a folder; name its place on this machine with --folder")
    if from_folder and options.folder and not options.folder.is_dir():
        raise UsageError(f"--folder {options.folder}: no such folder")
    if _embedded(lock) and not options.base_url:
        site = Mirror(site.origin, "http://localhost")  # where it will be served
    remote = (served for url in _addresses(lock) if not is_this_machine(served := site.to_served(url)))
    if asked := next((url for url in remote if options.allow_local or not is_private(url)), None):
        require_contact(options.contact, "--contact", origin(asked))


@contextmanager
def _served(lock: Lock, site: Mirror, options: Options) -> Iterator[tuple[Mirror, float]]:
    """Where the site is served while photos are fetched, and the seconds between requests to it."""
    default = WebSource.model_fields["delay"].default
    if options.base_url or not _embedded(lock):
        yield site, default if options.delay is None else options.delay
        return
    from bolid_data.gallery import draw_gallery, serve_gallery

    with serve_gallery(draw_gallery(seed=lock.seed)) as gallery:
        yield Mirror(site.origin, gallery.base_url), options.delay or 0.0  # no other user is slowed down


def _full_addresses(lock: Lock, options: Options) -> dict[tuple[str, str], list[str]]:
    """Addresses with the secrets that the lock leaves out, by person and by the lock's address; several may share
    one."""
    cut = {(s.person, s.url) for photo in lock.photos for s in photo.sightings if s.left_out}
    if options.urls is None:
        if cut:
            addresses_cut = counted(len(cut), "address without its secret", "addresses without their secrets")
            note(f"rebuild: the lock has {addresses_cut}; --urls LIST supplies them again")
        return {}
    if not options.urls.is_file():
        raise UsageError(f"--urls {options.urls}: no such file")
    addresses: dict[tuple[str, str], list[str]] = {}
    for batch in AddressList(options.urls).batches():
        for name, url in batch:
            if (locked := (slug(name), public_address(url)[0])) in cut:
                addresses.setdefault(locked, []).append(url)
    note(
        f"rebuild: {options.urls} has {len(addresses)} of the {len(cut)} addresses that the lock has without their "
        "secrets"
    )
    return addresses


def _embedded(lock: Lock) -> bool:
    return bool(lock.source and lock.source.serve_gallery)


def _addresses(lock: Lock) -> Iterator[str]:
    """Addresses of photos and their pages on the web."""
    for photo in lock.photos:
        for sighting in photo.sightings:
            yield from (url for url in (sighting.url, sighting.page_url) if url and not url.startswith(FILE))


def _missing(lock: Lock, dataset: Dataset) -> dict[str, list[dict[str, str]]]:
    """The addresses of missing photos by KINDS, with the reason for each; they are also written to stderr."""
    missing: dict[str, list[dict[str, str]]] = {kind: [] for kind in KINDS}
    for batch in batches(lock.photos):
        stored, sightings = look_up_batch(dataset.catalog, batch)
        for photo in batch:
            if photo.sha256 in stored:
                continue
            if photo.kept and not photo.sightings:  # opted out before the lock was written
                missing["opted_out"].append({"url": "", "sha256": photo.sha256, "reason": "opted_out"})
                note(f"rebuild: opted out: {photo.sha256} (its address is not in the lock)")
            for url in dict.fromkeys(sighting.url for sighting in photo.sightings):
                if sighting := sightings.get(url):  # none after an opt-out: it was not requested
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
