"""The loop that all of the small world's models are trained by; a run that was stopped goes on where it was."""

import atexit
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bolid_train.files import write_state

Loss = Callable[[torch.Generator], dict[str, Tensor]]
"""Draws a batch with the generator and returns the terms of its loss (scalars), which are added up."""

Report = dict[str, float]
"""A step's number, the terms of its loss, and the seconds that steps take."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    learning_rate: float
    warmup: int = 100
    ema: float = 0.999
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 200
    report_every: int = 50
    seconds: float | None = None  # of training, after which it ends even if steps are left

    def rate(self, step: int, elapsed: float = 0.0) -> float:
        """Share of the learning rate at a step: a linear start, then half a cosine down to zero.

        Args:
            elapsed: share of the seconds; the cosine follows whichever of steps and seconds is nearer to its end.
        """
        start = min(1.0, (step + 1) / self.warmup)
        return start * 0.5 * (1 + math.cos(max(math.pi * step / self.steps, math.pi * elapsed)))


def fit(
    model: nn.Module,
    loss: Loss,
    schedule: Schedule,
    work: Path,
    report: Callable[[Report], None] | None = None,
    on_checkpoint: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Trains `model` and returns the running average (EMA) of its weights, in evaluation mode.

    `work` holds the checkpoint and `log.jsonl`. A step's batch depends on the seed and the step's number alone, so a
    resumed run is the run that was not stopped, unless it ends by time. Under `torchrun` every process draws batches
    of its own and gradients are averaged: on few cores, two processes of one thread are faster than one process of two.

    Args:
        report: takes reports in place of `log.jsonl`.
        on_checkpoint: called with the average whenever a checkpoint is written.
    """
    rank, processes = _join()
    work.mkdir(parents=True, exist_ok=True)
    write_line = report or partial(_report, work / "log.jsonl")
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema), use_buffers=True)
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        wanted, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.99), fused=True
    )
    checkpoint = work / "checkpoint.pt"
    first, seconds_before = _resume(checkpoint, model, average, optimizer)
    started = time.monotonic()
    elapsed = _elapsed(schedule, seconds_before, started)
    model.train()
    for step in range(first, schedule.steps):
        if elapsed >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * schedule.rate(step, elapsed)
        seed = (schedule.seed * processes + rank) * 2**32 + step
        torch.manual_seed(seed)  # for what draws without being handed a generator: dropout, a VAE's posterior
        terms = loss(torch.Generator().manual_seed(seed))
        torch.stack(list(terms.values())).sum().backward()
        _average(wanted, processes)
        nn.utils.clip_grad_norm_(wanted, schedule.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update_parameters(model)
        # Read once a step: the step after which the loop ends is the one that writes the last checkpoint.
        elapsed = _elapsed(schedule, seconds_before, started)
        if rank > 0:
            continue
        if (step + 1) % schedule.report_every == 0:
            values = {name: round(float(value.detach()), 5) for name, value in terms.items()}
            seconds = (time.monotonic() - started) / (step + 1 - first)
            line = {"step": step + 1, **values, "seconds_a_step": round(seconds, 3)}
            write_line(line)
        last = step + 1 == schedule.steps or elapsed >= 1
        if (step + 1) % schedule.checkpoint_every == 0 or last:
            state = {
                "step": step + 1,
                "seconds": seconds_before + time.monotonic() - started,
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            write_state(state, checkpoint)
            if on_checkpoint:
                on_checkpoint(average.module)
    return average.module.eval()


def _join() -> tuple[int, int]:
    """This process's number, and how many there are."""
    if not torch.distributed.is_torchelastic_launched():
        return 0, 1
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
        atexit.register(torch.distributed.destroy_process_group)  # else processes may wait for each other for ever
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _average(parameters: list[nn.Parameter], processes: int) -> None:
    if processes == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient) / processes)


def _resume(
    checkpoint: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """The steps that were taken, and the seconds they took; 0 for a run that starts."""
    if not checkpoint.is_file():
        return 0, 0.0
    state = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state.get("seconds", 0.0))  # earlier checkpoints have no seconds


def _elapsed(schedule: Schedule, before: float, started: float) -> float:
    """The share of the schedule's seconds that is over; 0 without a limit."""
    return (before + time.monotonic() - started) / schedule.seconds if schedule.seconds else 0.0


def _report(log: Path, line: dict[str, float]) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(text + "\n")
