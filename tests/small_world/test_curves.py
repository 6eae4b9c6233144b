"""The picture of runs' curves."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from small_world import curves


def _write_run(folder: Path, name: str, values: list[float]) -> Path:
    run = folder / name
    run.mkdir()
    lines = [{"step": 10 * (i + 1), "loss": value, "diffusion": value} for i, value in enumerate(values)]
    (run / "losses.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return run


def test_runs_of_several_seeds_and_terms_become_one_picture(tmp_path: Path) -> None:
    runs = [_write_run(tmp_path, f"bolid-seed{seed}", [0.1, 0.2, 0.15]) for seed in range(2)]
    curves.main([*map(str, runs), "--out", str(tmp_path / "docs" / "curves.png")])
    assert np.asarray(Image.open(tmp_path / "docs" / "curves.png")).std() > 0


def test_a_curve_is_an_average_over_steps_however_thinned_the_losses_are() -> None:
    steps = np.arange(1.0, 1001.0)
    whole = curves._average(steps, np.where(steps > 500, 1.0, 0.0))
    thinned = curves._average(steps[9::10], np.where(steps[9::10] > 500, 1.0, 0.0))
    assert whole[0] == 0 and whole[499] == 0
    assert thinned == pytest.approx(whole[9::10], abs=1e-4), "means over ten steps stand for them"
