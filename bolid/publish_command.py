"""`bolid publish`: a dataset, or an adapter, as a repository of the Hugging Face hub."""

import datetime
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from bolid.options import Data, Debug, Json, ManifestFile, command, open_dataset, print_result, say_next
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest
from bolid_data.markdown import size
from bolid_data.printable import one_line, say
from bolid_data.progress import note
from bolid_data.publication import Publication, Repository, check_name, find_repository, upload
from bolid_data.words import counted


class _RefusedError(Exception):
    """People without a valid basis, by slug, and why."""

    def __init__(self, refused: dict[str, str]) -> None:
        super().__init__()
        self.refused = refused


def publish(
    manifest: ManifestFile,
    repository: Annotated[str, typer.Argument(metavar="REPO", help="Repository on the hub: OWNER/NAME.")],
    run: Annotated[str | None, typer.Option(help="Publish the adapter of this run, instead of the dataset.")] = None,
    dry_run: Annotated[
        Path | None,
        typer.Option("--dry-run", metavar="DIR", help="Write the repository to a new folder; nothing is uploaded."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it; without this, the repository is private.")
    ] = False,
    without_lock: Annotated[
        bool,
        typer.Option(
            "--without-lock",
            help="Leave out lock, measurements and index, which have names, addresses and photos that are not in the "
            "tars; BoLID can then neither rebuild the dataset nor train on the copy.",
        ),
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option(help="Licence, as the hub names it, such as cc-by-4.0. (default: none is granted)"),
    ] = None,
    data: Data = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Upload the dataset, or an adapter, with its card: private, once every person has a recorded basis."""
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,60}", licence):
        raise UsageError(f"--licence {licence}: not as the hub names licences, such as cc-by-4.0 or other")
    if run is not None and without_lock:
        raise UsageError("--without-lock: an adapter has no lock; leave it out")
    if not (dry_run or yes or sys.stdin.isatty()):
        raise UsageError("publish asks before it uploads; without a terminal, it needs --yes, or --dry-run DIR")
    check_name(repository)
    loaded, dataset = open_dataset(manifest, data)
    dataset.catalog.require()
    with dataset.working():
        dataset.prepare()
        try:
            if run is None:
                made = _dataset(loaded, dataset, repository, not without_lock, licence)
            else:
                made = _adapter(loaded, dataset, repository, run, licence)
            with made as publication:
                result = _hand_on(dataset, publication, repository, dry_run, public, yes, as_json)
        except _RefusedError as error:
            from bolid_data.shards.publish.check import refusal

            print_result({"refused": error.refused}, as_json, lambda result: _say_refused(result["refused"]))
            raise refusal(error.refused) from None
    if dry_run:
        again = command("publish", manifest, data, " ".join([repository, *([f"--run {run}"] if run else [])]))
        say_next(f"read {dry_run / 'README.md'}, then {again}", result=dry_run)
    else:
        note(f"result: {result['url']}")


@contextmanager
def _dataset(
    manifest: Manifest, dataset: Dataset, repository: str, with_lock: bool, licence: str | None
) -> Iterator[Publication]:
    from bolid_data.shards.publish import run as dataset_files
    from bolid_data.shards.publish.check import check

    today = datetime.date.today()
    checked = check(manifest, dataset, with_lock, today)
    if checked.refused:
        raise _RefusedError(checked.refused)
    with dataset_files.temporary() as made:
        yield dataset_files.publication(manifest, dataset, checked, repository, Path(made), with_lock, licence, today)


@contextmanager
def _adapter(
    manifest: Manifest, dataset: Dataset, repository: str, run: str, licence: str | None
) -> Iterator[Publication]:
    from bolid_data.shards.publish.adapter import check_run
    from bolid_train.publish import run as adapter_files

    people, today = adapter_files.trained_on(dataset.root, run), datetime.date.today()
    refused, pictures = check_run(manifest, dataset, run, people.key, people.ids, people.is_salted, people.count, today)
    if refused:
        raise _RefusedError(refused)
    if not pictures:
        note("publish: pictures are left out: they may show people of the dataset who have no valid basis")
    yield adapter_files.publication(manifest, dataset.root, run, repository, licence, pictures)


def _hand_on(
    dataset: Dataset,
    publication: Publication,
    name: str,
    folder: Path | None,
    public: bool,
    yes: bool,
    as_json: bool,
) -> dict[str, Any]:
    """Lists the files, then writes them to a folder, or asks and uploads them."""
    sizes = publication.sizes()
    if folder:
        from bolid_data.shards.publish.run import refuse_inside

        refuse_inside(dataset, folder)
        dataset.catalog.exports.record_published(str(folder.resolve()))
        publication.write(folder)
        result: dict[str, Any] = {"folder": str(folder)}
    else:
        repository = find_repository(name, publication.kind)
        _refuse_other_visibility(repository, public)
        _list(sizes, note if as_json else say)
        if not yes:
            _ask(repository, sizes, public)
        dataset.catalog.exports.record_published(repository.url)
        result = {"url": repository.url, "commit": upload(publication, repository, public)}
    result = {**result, "kind": publication.kind, "repository": name, "public": public, "files": sizes}
    print_result(result, as_json, lambda result: _list(result["files"]) if folder else None)
    return result


def _refuse_other_visibility(repository: Repository, public: bool) -> None:
    """An existing repository stays as visible as it is."""
    if repository.exists and repository.public and not public:
        raise UsageError(f"{repository.url}: exists, and is public; make it private on its page, or use --public")
    if repository.exists and public and not repository.public:
        raise UsageError(f"{repository.url}: exists, and is private; make it public on its page, or leave out --public")


def _ask(repository: Repository, sizes: dict[str, int], public: bool) -> None:
    what = f"{counted(len(sizes), 'file')}, {size(sum(sizes.values()))}"
    where = f"{repository.url} ({'PUBLIC' if public else 'private'}{'' if repository.exists else ', new'})"
    typer.confirm(one_line(f"Upload {what} to {where}?"), abort=True, err=True)
    if public:
        lock = "dataset.lock.json" in sizes
        more = " It has people's names and addresses of photos; --without-lock leaves them out." if lock else ""
        question = f"Everybody will be able to copy it, and copies cannot be taken back.{more} Publish?"
        typer.confirm(question, abort=True, err=True)


def _list(sizes: dict[str, int], show: Callable[[str], None] = say) -> None:
    width = max(map(len, sizes))
    for name, count in sizes.items():
        show(f"{name:{width}}  {size(count):>9}")
    show(f"{counted(len(sizes), 'file')}, {size(sum(sizes.values()))}")


def _say_refused(refused: dict[str, str]) -> None:
    for person, reason in refused.items():
        say(f"{person}: {reason}")
