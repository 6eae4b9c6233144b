"""The schema that `bolid schema` prints, and docs/settings.md, which is made from it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bolid_data import manifest, manifest_schema
from bolid_data.errors import ManifestError
from bolid_train.settings import train_model
from tests.support.commands import bolid
from tests.support.paths import ROOT

MODEL = manifest.manifest_model(train_model())  # with the tables of all methods
MINIMAL = 'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n'


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> jsonschema.Draft202012Validator:
    printed = json.loads(bolid("schema", cwd=tmp_path_factory.mktemp("anywhere")).stdout)
    jsonschema.Draft202012Validator.check_schema(printed)
    return jsonschema.Draft202012Validator(printed)


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.toml")), ids=lambda path: path.name)
def test_the_schema_accepts_the_manifests_we_ship(path: Path, checker: jsonschema.Draft202012Validator) -> None:
    checker.validate(tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('[shards]\nmax_size = "20MB"\nsplits = { train = ["a"] }', True),
        ("[shards]\nmax_size = 20000000\nsplits = { train = 1.0 }", True),
        ("[filter]\nmax_hamming_between = false\nmin_sharpness = 3", True),
        ("[filter]\nmin_widht = 5", False),
        ("[filter]\nmax_hamming_between = true", False),
        ("[filter]\nmin_keypoints = 18", False),
        ("[train]\nresolution = 100", False),
        ('[caption]\ndtype = "float8"', False),
        ("[shards]\nsplits = { train = 'all' }", False),
    ],
)
def test_schema_and_manifest_agree(
    text: str, valid: bool, tmp_path: Path, checker: jsonschema.Draft202012Validator
) -> None:
    path = tmp_path / "m.toml"
    path.write_text(MINIMAL + text)
    assert checker.is_valid(tomllib.loads(path.read_text())) == valid
    if valid:
        manifest.load(path)
    else:
        with pytest.raises(ManifestError):
            manifest.load(path)


def test_a_first_line_for_editors_does_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("#:schema manifest.schema.json\n" + MINIMAL)
    assert manifest.load(tmp_path / "m.toml").name == "mine"


def test_every_key_is_described() -> None:
    made = manifest_schema.schema(MODEL)
    sections: dict[str, Any] = made["$defs"] | {"": made}
    missing = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, value in section["properties"].items()
        if not {"$ref", "oneOf", "description"} & value.keys()
    ]
    assert not missing


def test_settings_md_is_up_to_date() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == manifest_schema.settings_page(MODEL), "run `make docs`"
