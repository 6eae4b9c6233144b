"""The loop of the small world's trainings: what was stopped goes on as if it had not been."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from small_world.training.loop import Loss, Schedule, fit
from tests.support.processes import run_two

SCHEDULE = Schedule(steps=30, learning_rate=0.05, warmup=3, ema=0.9, checkpoint_every=7)


def line() -> tuple[nn.Module, Loss]:
    """A model and a loss that is least where the model is y = 3 x - 1."""
    torch.manual_seed(0)
    model = nn.Linear(1, 1)

    def loss(generator: torch.Generator) -> dict[str, Tensor]:
        x = torch.rand(16, 1, generator=generator)
        return {"error": (model(x) - (3 * x - 1)).square().mean()}

    return model, loss


def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    model, loss = line()
    whole = fit(model, loss, SCHEDULE, tmp_path / "whole").state_dict()

    model, loss = line()
    calls = 0

    def stops(generator: torch.Generator) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls > 16:
            raise KeyboardInterrupt
        return loss(generator)

    with pytest.raises(KeyboardInterrupt):
        fit(model, stops, SCHEDULE, tmp_path / "stopped")
    model, loss = line()
    resumed = fit(model, loss, SCHEDULE, tmp_path / "stopped").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_loss_falls_and_the_average_is_what_is_given(tmp_path: Path) -> None:
    model, loss = line()
    before = loss(torch.Generator().manual_seed(99))["error"].item()
    average = fit(model, loss, replace(SCHEDULE, steps=200), tmp_path)
    assert loss(torch.Generator().manual_seed(99))["error"].item() < before / 10
    assert not average.training
    assert not torch.equal(average.weight, model.weight)  # type: ignore[arg-type]


TWO = """
import sys
from pathlib import Path
from small_world.training.loop import fit
from tests.small_world.training.test_loop import SCHEDULE, line
model, loss = line()
fit(model, loss, SCHEDULE, Path(sys.argv[1]))
"""


def test_two_processes_take_the_steps_of_one_with_both_batches(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    run_two([script, tmp_path / "two"], seconds=120)
    model, loss = line()

    def both(generator: torch.Generator) -> dict[str, Tensor]:
        seeds = [process * 2**32 + generator.initial_seed() for process in range(2)]
        errors = [loss(torch.Generator().manual_seed(seed))["error"] for seed in seeds]
        return {"error": torch.stack(errors).mean()}

    fit(model, both, SCHEDULE, tmp_path / "one")
    one, two = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["model"] for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name])


def test_a_run_of_limited_time_ends_in_time_and_is_over(tmp_path: Path) -> None:
    model, loss = line()
    averages: list[nn.Module] = []
    schedule = replace(SCHEDULE, steps=10**9, seconds=0.5, checkpoint_every=10**9)
    average = fit(model, loss, schedule, tmp_path, on_checkpoint=averages.append)
    assert averages == [average]
    steps = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"]
    assert steps < 10**9
    assert schedule.rate(steps, elapsed=1.0) == 0 < schedule.rate(steps, elapsed=0.5)
    fit(model, loss, schedule, tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == steps
