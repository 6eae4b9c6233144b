"""Our modules give the numbers of the authors' published code, and the harness notices when they do not."""

import shutil
import subprocess
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.support.paths import ROOT

FIXTURES = ROOT / "tests" / "data" / "parity"
OURS = ("instantid", "ip_adapter")


def _compared(*folder: Path) -> tuple[int, list[str], str]:
    """The exit status, the lines, and what is written to stderr."""
    command = [sys.executable, "-m", "benchmarks.parity", *map(str, folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout.splitlines(), done.stderr


def _changed(system: str, case: str, output: str, by: float, folder: Path) -> None:
    """Writes a copy of a fixture in which the first number of an output is another."""
    with safe_open(FIXTURES / system / f"{case}.safetensors", "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in list(file.keys())}, file.metadata()
    value = tensors[f"out.{output}"].clone()
    value.view(-1)[0] += torch.tensor(by).to(value.dtype)
    (folder / system).mkdir(exist_ok=True, parents=True)
    save_file(tensors | {f"out.{output}": value}, folder / system / f"{case}.safetensors", metadata)


def test_every_fixture_is_reproduced() -> None:
    status, lines, errors = _compared()
    assert status == 0, errors
    assert len(lines) == len(list(FIXTURES.glob("*/*.safetensors")))
    for system in OURS:
        for file in (FIXTURES / system).iterdir():
            [line] = [line for line in lines if line.endswith(f" {system}/{file.stem}")]
            assert line.startswith("ok ")
            assert float(line.split()[1]) <= (0 if "draw_kps" in file.stem else 5e-5)


def test_differences_and_damage_are_named_and_fail(tmp_path: Path) -> None:
    _changed("ip_adapter", "plus_resampler", "tokens", 1e-4, tmp_path)
    _changed("instantid", "draw_kps_128x128", "images", 1, tmp_path)
    _changed("instantid", "image_projection", "tokens", 1e-5, tmp_path)
    (tmp_path / "instantid" / "cross_attention.safetensors").write_text("no")
    status, lines, _ = _compared(tmp_path)
    assert status == 1 and len(lines) == 4
    assert lines[0].startswith("failed") and "cannot be read as a parity fixture" in lines[0]
    assert lines[1].startswith("differs") and lines[1].endswith("instantid/draw_kps_128x128: images")
    assert lines[2].startswith("ok ") and lines[2].endswith("instantid/image_projection")
    assert lines[3].startswith("differs") and lines[3].endswith("ip_adapter/plus_resampler: tokens")


def test_a_systems_folder_names_the_system_and_one_that_is_not_built_is_skipped(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "ip_adapter", tmp_path / "someone_elses")
    status, lines, _ = _compared(tmp_path / "someone_elses")
    assert status == 0 and len(lines) == 7
    assert all(line.startswith("skipped") and "someone_elses/" in line for line in lines)


def test_without_fixtures_it_says_so(tmp_path: Path) -> None:
    status, lines, errors = _compared(tmp_path)
    assert (status, lines) == (2, []) and "no fixtures" in errors
