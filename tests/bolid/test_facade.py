"""What a notebook imports, and the manifest that ships."""

import subprocess
import sys
from pathlib import Path

import pytest

import bolid
from bolid_data.manifest import load
from tests.support.commands import bolid as run
from tests.support.paths import ROOT


@pytest.mark.parametrize("name", bolid.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(bolid, name).__module__.startswith("bolid_")


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = bolid.magic


def test_importing_it_loads_neither_torch_nor_a_dataset() -> None:
    loaded = "import sys, bolid; print([name for name in sys.modules if name.partition('.')[0] in {'torch', 'duckdb'}])"
    assert subprocess.check_output([sys.executable, "-c", loaded], cwd=ROOT, text=True).strip() == "[]"


def test_the_manifest_that_ships_is_taken_where_no_file_has_its_name(tmp_path: Path) -> None:
    error = run("status", "demo", cwd=tmp_path).stderr
    assert str(Path("data", "demo", "catalog.duckdb")) in error and "no such catalog" in error
    (tmp_path / "demo").write_text('name = "mine"\n[source]\nkind = "folder"\npath = "."\n')
    assert str(Path("data", "mine")) in run("status", "demo", cwd=tmp_path).stderr


def test_the_manifest_that_ships_is_the_one_of_the_project() -> None:
    assert load(ROOT / "bolid" / "demo.toml").name == "demo"
    assert (ROOT / "bolid" / "demo.toml").read_bytes() == (ROOT / "manifests" / "demo.toml").read_bytes()
