"""The commands for decisions by hand: `list` shows the photos, `keep`, `reject`, `assign` and `undo` decide on them,
and `decisions` shows what was decided."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bolid.options import Data, Debug, Json, ManifestFile, command, open_dataset, print_result, say_next
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.printable import say
from bolid_data.progress import note
from bolid_data.words import photos

Photos = Annotated[
    list[str],
    typer.Argument(metavar="PHOTO…", help="Photos: by their path or file name, or the first digits of their sha256."),
]
_TO_DECIDE = "bolid keep, reject or assign to decide by hand"
Why = Annotated[str, typer.Option(help="The reason, for the log of decisions.")]


def list_(
    manifest: ManifestFile,
    data: Data = None,
    person: Annotated[list[str] | None, typer.Option(help="Only photos of this person; may be repeated.")] = None,
    reason: Annotated[
        list[str] | None, typer.Option(help="Only photos that are out for this reason; may be repeated.")
    ] = None,
    kept: Annotated[bool | None, typer.Option("--kept/--not-kept", help="Only kept photos, or only others.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write all to this .csv or .parquet file.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List photos with verdict, reasons, caption and margins: as a table, or into a CSV or Parquet file."""
    from bolid_data.curate import judge
    from bolid_data.report import photo_list

    _, dataset = open_dataset(manifest, data)
    catalog, wanted = dataset.catalog, judge.Wanted(person or (), reason or (), kept)
    if out:
        if as_json:
            raise UsageError("--json: prints on stdout; leave out --out, or --json")
        judge.export_photos(catalog, wanted, out)
        say(f"{out}: {photos(judge.count_photos(catalog, wanted))}")
    elif as_json:
        photo_list.print_photos_as_json(judge.list_photos(catalog, wanted))
    else:
        shown = list(judge.list_photos(catalog, wanted, photo_list.MAX_ROWS))
        photo_list.print_photos(shown, judge.count_photos(catalog, wanted))
    say_next(f"{command('explain', manifest, data, 'PHOTO')} for one of them", _TO_DECIDE, result=out)


def keep(
    manifest: ManifestFile,
    photo: Photos,
    why: Why = "",
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Keep photos, whatever was measured on them; only opted-out, deleted and broken ones stay out."""
    from bolid_data.curate import decide

    _, dataset = open_dataset(manifest, data)
    with dataset.working():
        result = {"decided": "keep", "photos": decide.keep(dataset, photo, why)}
    _finish(dataset, result, manifest, data, as_json)


def reject(
    manifest: ManifestFile,
    photo: Photos,
    why: Why = "",
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Reject photos: they leave the dataset at once, and the next shards."""
    from bolid_data.curate import decide

    _, dataset = open_dataset(manifest, data)
    with dataset.working():
        result = {"decided": "reject", "photos": decide.reject(dataset, photo, why)}
    _finish(dataset, result, manifest, data, as_json)


def assign(
    manifest: ManifestFile,
    photo: Photos,
    person: Annotated[str, typer.Argument(help="The slug or name of the person whose photos they are.")],
    new: Annotated[bool, typer.Option("--new", help="The person is not in the dataset yet.")] = False,
    why: Why = "",
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Assign photos to another person; from now on they are this person's alone."""
    from bolid_data.curate import decide

    _, dataset = open_dataset(manifest, data)
    with dataset.working():
        result = {"decided": "assign", "photos": decide.assign(dataset, photo, person, why, new)}
    _finish(dataset, result, manifest, data, as_json)


def undo(
    manifest: ManifestFile,
    photo: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PHOTO…]", help="Photos on which nothing shall be decided any more."),
    ] = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Undo the last command that decided on photos; or all that was decided on the photos that are named."""
    from bolid_data.curate import decide

    _, dataset = open_dataset(manifest, data)
    with dataset.working():
        undone, states = decide.undo(dataset, photo or ())
    _finish(dataset, {"decided": "undo", "undone": undone, "photos": states}, manifest, data, as_json)


def decisions(manifest: ManifestFile, data: Data = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show the log of decisions by hand: who decided what, when and why, and what was undone."""
    from bolid_data.report import photo_list

    _, dataset = open_dataset(manifest, data)
    log = dataset.catalog.decisions.log()
    print_result({"decisions": log}, as_json, lambda result: photo_list.print_log(result["decisions"]))
    if log:
        say_next(f"{command('undo', manifest, data)} takes back the last command; with PHOTO, everything decided on it")
    else:
        say_next(command("list", manifest, data), _TO_DECIDE)


def _finish(dataset: Dataset, result: dict[str, Any], manifest: Path, data: Path | None, as_json: bool) -> None:
    """Prints what was decided, which runs are stale by it, and what comes next."""
    from bolid_data.report import photo_list, show

    status = show.status(dataset)
    result["next"] = [command(step, manifest, data) for step in show.next_steps(status)]
    print_result(result, as_json, photo_list.print_decided)
    for run in status["stale"]["runs"]:
        note(f"runs/{run} is stale: it was trained on photos as they were before; train again, and delete it")
    again = command("decisions", manifest, data)
    say_next(", then ".join(result["next"]) or f"nothing, the shards are as decided; {again} shows the log")


COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_, "keep": keep, "reject": reject, "assign": assign, "undo": undo, "decisions": decisions,
}  # fmt: skip
