"""`bolid group`, for photos that nobody has sorted yet."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bolid.options import Debug, Json, print_result, say_next
from bolid_data.errors import UsageError
from bolid_data.printable import say
from bolid_data.words import people, photos


def group(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of unsorted photos; nothing in it changes.")],
    list_: Annotated[
        Path | None, typer.Option("--list", metavar="FILE.csv", help="Write the proposal: a CSV file of person,file.")
    ] = None,
    links: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Make a new folder with one folder per person, of hard links to the photos."),
    ] = None,
    likeness: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="How alike faces of one person are, at least; higher makes more people."),
    ] = None,
    min_photos: Annotated[int, typer.Option(min=1, help="Photos of a person, at least.")] = 2,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Propose people for a folder of unsorted photos, by their faces; embeddings of faces are not kept."""
    from bolid_data.curate import group_folder

    if links and links.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"--links {links}: lies in {folder}, which stays as it is; name a folder beside it")
    proposal = group_folder.propose_people(folder, group_folder.LIKENESS if likeness is None else likeness, min_photos)
    if list_:
        group_folder.write_list(proposal, list_)
    if links:
        group_folder.link(proposal, links)
    print_result(proposal.summary(), as_json, _print)
    if links:
        say_next(f"look through it, and rename its folders; then bolid init {links}", result=links)
    else:
        say_next("the same with --links DIR, a folder to look through and to rename", result=list_)


def _print(summary: dict[str, Any]) -> None:
    for row in summary["people"]:
        say(f"{row['person']}: {photos(row['photos'])}")
    rest = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in summary["others"].items() if count)
    say(f"{people(len(summary['people']))}{f'; not grouped: {rest}' if rest else ''}")
