"""What the commands share: their common options, opening a dataset, printing a result."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bolid_data import manifest as manifests
from bolid_data.dataset import Dataset
from bolid_data.printable import printable_json

ManifestFile = Annotated[
    Path,
    typer.Argument(metavar="MANIFEST", help="TOML file that describes the dataset, or demo for the one that ships."),
]
Data = Annotated[Path | None, typer.Option(help="Folder of the dataset. (default: data/<name of the dataset>)")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def open_dataset(path: Path, data: Path | None, **source: Any) -> tuple[manifests.Manifest, Dataset]:
    """The manifest at `path` and its dataset; `source` has the keys of `[source]` that options replace."""
    if path == Path("demo") and not path.is_file():
        path = Path(__file__).with_name("demo.toml")
    manifest = manifests.load(path, {key: value for key, value in source.items() if value is not None})
    return manifest, Dataset(data or Path("data") / manifest.name)


def print_result(result: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Prints a command's result on stdout: as JSON, or as `show` does."""
    if as_json:
        print(printable_json(result))
    elif show:
        show(result)
