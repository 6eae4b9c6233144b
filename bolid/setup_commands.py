"""The commands of the first hour, which need no dataset: `schema`."""

import json
from typing import Annotated

import typer

from bolid.options import Debug


def schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/settings.md: every key with range and default.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Print the JSON schema of manifests, with which editors complete and check them."""
    from bolid_data import manifest_schema

    if markdown:
        print(manifest_schema.settings_page(), end="")
    else:
        print(json.dumps(manifest_schema.schema(), indent=2, ensure_ascii=False))
