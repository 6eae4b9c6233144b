"""`bolid review`: the page on which photos are kept, rejected, assigned and captioned by hand."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bolid.options import Data, Debug, Json, ManifestFile, command, open_dataset, print_result, say_next
from bolid_data.printable import say


def review(
    manifest: ManifestFile,
    data: Data = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 chooses a free one.")] = 0,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser, on a terminal.")] = True,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Look through the photos on a local page, with the keyboard: keep, reject, assign, caption, set thresholds."""
    from bolid_data.review.manifest_file import ManifestFile as EditableManifest
    from bolid_data.review.server import serve
    from bolid_train.settings import load

    packaged = manifest == Path("demo") and not manifest.is_file()
    loaded, dataset = open_dataset(manifest, data)

    def ready(address: str) -> None:
        print_result({"address": address}, as_json, lambda result: say(f"review at {result['address']}"))
        say_next("the page, where ? shows all keys; Ctrl-C ends it", f"{command('shard', manifest, data)} afterwards")
        sys.stdout.flush()
        if open_ and not as_json and sys.stdout.isatty():
            import webbrowser

            webbrowser.open(address)

    with suppress(KeyboardInterrupt):
        serve(EditableManifest(loaded.path, load, packaged), dataset, port, ready)
