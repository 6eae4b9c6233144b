"""The commands that come before there is a dataset: `init`, `doctor` and `schema`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bolid.options import Data, Debug, Json, command, open_dataset, print_result, say_next
from bolid_data.atomic_io import write_text
from bolid_data.errors import BolidError, UsageError
from bolid_data.printable import say
from bolid_data.words import counted, people, photos


def init(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[FOLDER | LIST.csv | URL]",
            help="Folder with one folder of photos per person, or of one person's photos; list of URLs; or a site's "
            "URL. (default: photos/, or this folder)",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The manifest to write. (default: NAME.toml, by the source)")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a commented manifest for the photos that there are; nothing is overwritten."""
    from bolid_data.collect.propose import propose

    proposal = propose(source, out.parent if out else Path())
    path = out or Path(f"{proposal.name}.toml")
    if path.exists():
        raise UsageError(f"{path}: exists; name another file with --out")
    write_text(path, proposal.text)
    result = {"manifest": str(path), "people": proposal.people, "photos": proposal.photos}
    what = f" for {people(proposal.people)}, {photos(proposal.photos or 0)}" if proposal.people else ""
    print_result(result, as_json, lambda _: say(f"{path}: a manifest{what}; read it, and change what does not fit"))
    say_next(f"{command('doctor', path)}, then {command('dataset', path)}", result=path)


def doctor(
    manifest: Annotated[
        Path | None,
        typer.Argument(metavar="[MANIFEST]", help="Also check its models and its source, and what it costs."),
    ] = None,
    data: Data = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check accelerator, memory, disk, packages, hub and models; exit code 1 if something is in the way."""
    from bolid import doctor as checks

    loaded, dataset = open_dataset(manifest, data) if manifest else (None, None)
    result = checks.examine(loaded, dataset)
    print_result(result, as_json, checks.print_diagnosis)
    if problems := sum(check["state"] == "problem" for check in result["checks"]):
        raise BolidError(f"{counted(problems, 'problem')} in the way, named above")
    say_next(*([command("dataset", manifest, data)] if manifest else ["bolid init", "bolid dataset demo"]))


def schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/settings.md: every key with range and default.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Print the JSON schema of manifests, with which editors complete and check them."""
    from bolid_data import manifest_schema
    from bolid_data.manifest import manifest_model
    from bolid_train.settings import train_model

    model = manifest_model(train_model())
    if markdown:
        print(manifest_schema.settings_page(model), end="")
    else:
        print(json.dumps(manifest_schema.schema(model), indent=2, ensure_ascii=False))
        say_next("save it as manifest.schema.json, with `#:schema manifest.schema.json` as a manifest's first line")
