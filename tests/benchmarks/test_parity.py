"""Our modules give the numbers of the authors' published code, and the harness notices when they do not."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks.parity.__main__ import main
from benchmarks.parity.run import FIXTURES, run

OURS = ("instantid", "ip_adapter")


@pytest.mark.parametrize("system", OURS)
def test_every_fixture_is_reproduced(system: str) -> None:
    outcomes = list(run(FIXTURES / system))
    assert len(outcomes) == len(list((FIXTURES / system).iterdir()))
    assert [outcome.line() for outcome in outcomes if outcome.failed or outcome.skipped] == []


def test_all_systems_have_an_outcome_and_none_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(FIXTURES.glob("*/*.safetensors")))
    assert any(line.startswith("ok ") and line.endswith("instantid/draw_kps_128x128") for line in lines)


def _changed(system: str, case: str, output: str, by: float, folder: Path) -> Path:
    """A copy of a fixture in which the first number of an output is another."""
    with safe_open(FIXTURES / system / f"{case}.safetensors", "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in list(file.keys())}, file.metadata()
    value = tensors[f"out.{output}"].clone()
    value.view(-1)[0] += torch.tensor(by).to(value.dtype)
    (folder / system).mkdir(exist_ok=True)
    save_file(tensors | {f"out.{output}": value}, folder / system / f"{case}.safetensors", metadata)
    return folder


@pytest.mark.parametrize(
    ("system", "case", "output", "by"),
    [("ip_adapter", "plus_resampler", "tokens", 1e-4), ("instantid", "draw_kps_128x128", "images", 1)],
)
def test_a_difference_is_named_and_fails(
    system: str, case: str, output: str, by: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(_changed(system, case, output, by, tmp_path))]) == 1
    line = capsys.readouterr().out
    assert line.startswith("differs") and line.strip().endswith(f"{system}/{case}: {output}")
    assert main([str(_changed(system, case, output, 0, tmp_path))]) == 0


def test_a_system_that_is_not_built_is_skipped_and_a_damaged_file_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FIXTURES / "ip_adapter", tmp_path / "someone_elses")
    assert main([str(tmp_path)]) == 0
    assert all(line.startswith("skipped") for line in capsys.readouterr().out.splitlines())
    (tmp_path / "instantid").mkdir()
    (tmp_path / "instantid" / "image_projection.safetensors").write_text("no")
    assert main([str(tmp_path / "instantid")]) == 1
    assert "cannot be read as a parity fixture" in capsys.readouterr().out


def test_without_fixtures_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no fixtures" in capsys.readouterr().err
