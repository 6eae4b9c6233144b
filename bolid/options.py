"""What the commands share: their common options, opening a dataset, printing a result, saying what comes next."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bolid_data import manifest as manifests
from bolid_data import weights
from bolid_data.dataset import Dataset
from bolid_data.printable import printable_json
from bolid_data.progress import note
from bolid_train.settings import load

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
    manifest = load(path, {key: value for key, value in source.items() if value is not None})
    return manifest, Dataset(data or Path("data") / manifest.name)


def print_result(result: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Prints a command's result on stdout: as JSON, or as `show` does."""
    if as_json:
        print(printable_json(result))
    elif show:
        show(result)


def say_next(*commands: str, result: Path | None = None) -> None:
    """Ends a command: where its result is, and what to run next, both on stderr."""
    sys.stdout.flush()
    if result:
        note(f"result: {result}")
    note(f"next: {', or '.join(commands)}")


def command(name: str, manifest: Path, data: Path | None = None, rest: str = "") -> str:
    """A command line to copy; `rest` is what follows the manifest."""
    words = ["bolid", name, str(manifest), *(["--data", str(data)] if data else [])]
    return " ".join([shlex.join(words), *([rest] if rest else [])])


def is_drawn(manifest: manifests.Manifest) -> bool:
    """Whether the photos are those of an embedded gallery, as far as a manifest tells."""
    source = manifest.source
    return isinstance(source, manifests.ThePlaceSource) and bool(source.serve_gallery or source.base_url)


def note_synthetic(manifest: manifests.Manifest, base: str | None = None) -> None:
    """Says of real photos that a base that ships never shows the person; `base` is an option's."""
    name = base or manifest.train.base
    if name in weights.BASES and not is_drawn(manifest):
        note(
            f"note: the base {name} draws synthetic people only, never the person; manifests/own-photos.toml has "
            "the lines that make it SDXL"
        )
