"""`bolid report`: one page about a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bolid.options import Data, Debug, Json, ManifestFile, command, open_dataset, print_result, say_next
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.printable import say

if TYPE_CHECKING:  # imported late: most commands do not need it
    from bolid_data.report.page.material import Other


def report(
    manifest: ManifestFile,
    data: Data = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Page to write. (default: report/index.html in the folder)")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER",
            help="Show which photos differ from OTHER: a manifest with other thresholds, another dataset's folder, or "
            "a lock.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write one self-contained HTML page: funnel, photos by reason, coverage, thresholds, sources, licences."""
    from bolid_data.report.page.write import write_page

    loaded, dataset = open_dataset(manifest, data)
    dataset.catalog.require()
    # Held until the page is written, so that nobody is forgotten in between.
    with dataset.working():
        other = _other(dataset, compare) if compare else None
        result = write_page(dataset, loaded, out, other)
    print_result(result, as_json, _print)
    again = command("report", manifest, data, "--compare OTHER.toml")
    say_next(f"{again} for what other thresholds would change", result=Path(result["file"]))


def _print(result: dict[str, Any]) -> None:
    counts = f"{result['kept']} of {result['photos']} photos kept, {result['pictures']} shown"
    say(f"{result['file']}: {counts}, {result['bytes'] / 1e6:.1f} MB")
    if compared := result.get("compared"):
        difference = f"+{compared['gained']} kept only there, −{compared['lost']} kept only here"
        say(f"against {compared['with']}: {difference}")


def _other(dataset: Dataset, path: Path) -> "Other":
    """What to compare with: by its kind, a folder, a lock or a manifest."""
    from bolid_data.report.page.others import dataset_folder, locked, thresholds_of

    if path.is_dir():
        return dataset_folder(dataset, path)
    if path.suffix == ".json":
        return locked(dataset, path)
    if path.suffix != ".toml" and path != Path("demo"):
        raise UsageError(f"--compare {path}: neither a manifest (.toml), nor a lock (.json), nor a folder that exists")
    loaded, _ = open_dataset(path, None)
    return thresholds_of(dataset, loaded)
