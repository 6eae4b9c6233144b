"""A run's folder: checkpoints and losses, from which a killed run resumes bit for bit."""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Any, Self

import torch
from filelock import FileLock, Timeout
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import TypedDict

from bolid_data.atomic_io import atomic_folder, sync, write_text
from bolid_data.errors import BolidError, UsageError
from bolid_train.files import write_json, write_state
from bolid_train.methods.protocol import Method
from bolid_train.training.optimizer import Optimization


class _State(TypedDict):
    """A checkpoint's state besides its weights."""

    step: Annotated[int, Field(ge=0)]
    threads: Annotated[int, Field(ge=1, le=4096)]
    identity: dict[str, Any]


_STATE = TypeAdapter(_State)


class TrainingRun:
    """`runs/<run>`: `checkpoints/step-…` (the latest complete one), `losses.jsonl`, TensorBoard events.

    As a context manager, it locks the run, so that no other process trains it.
    """

    def __init__(self, folder: Path, resume: bool, overwrite: bool, main: bool = True) -> None:
        """`main`: whether this is the main process of a distributed run, the only one that writes. Raises BolidError if
        the run exists, unless it is to be resumed or overwritten."""
        if resume and overwrite:
            raise UsageError("--resume and --overwrite exclude each other")
        if main and folder.exists() and not (resume or overwrite):
            raise BolidError(f"{folder} exists; --resume continues it, --overwrite starts over, --run names another")
        self.folder = folder
        self.losses = folder / "losses.jsonl"
        self._checkpoints = folder / "checkpoints"
        self._overwrite, self._main, self._is_new = overwrite, main, False
        self._lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)

    def __enter__(self) -> Self:
        if not self._main:
            return self
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise BolidError(f"another process is training {self.folder}; wait for it or name another --run") from None
        if self._overwrite and self.folder.exists():
            shutil.rmtree(self.folder)
        self._is_new = not self.folder.exists()
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        # A start that failed before the first step leaves nothing to resume, and no name that is taken.
        if error and self._main and self._is_new and not self.read_losses():
            shutil.rmtree(self.folder)
        self._lock.release()

    def restore(self, method: Method, optimization: Optimization, identity: dict[str, Any]) -> int:
        """Loads the latest checkpoint and drops the losses after it; returns its step, or 0 without a checkpoint.

        Raises UsageError, naming the first difference, if the run was started with another `identity` (settings, base,
        photos): the result would correspond to neither the old nor the new one.
        """
        step = 0
        if latest := max(self._checkpoints.glob("step-*"), default=None):
            try:
                state = _STATE.validate_json((latest / "state.json").read_bytes())
                self._check(state["identity"], identity)
                method.load(latest)
                optimization.load_state_dict(
                    torch.load(latest / "optimization.pt", map_location="cpu", weights_only=True)
                )
            except (OSError, ValueError, KeyError, RuntimeError, UnpicklingError, SafetensorError) as error:
                raise BolidError(f"{latest} is damaged ({error}); start over with --overwrite") from error
            # Sums are split among threads, so another number of threads gives other last digits.
            torch.set_num_threads(state["threads"])
            step = state["step"]
        if self._main:
            self._keep_losses(step)
        return step

    def _check(self, saved: dict[str, Any], current: dict[str, Any]) -> None:
        for name, value in current.items():
            if name == "version" and saved.get(name) != value:
                raise UsageError(
                    f"{self.folder} was started by another version of BoLID, whose losses differ; finish it with that "
                    "version, or start over with --overwrite"
                )
            if saved.get(name) != value:
                raise UsageError(
                    f"{self.folder} was started with {name} = {saved.get(name)!r}, now it is {value!r}; "
                    "change it back, or start over with --overwrite"
                )

    def checkpoint(self, step: int, method: Method, optimization: Optimization, identity: dict[str, Any]) -> None:
        """Writes all that resuming needs atomically, and deletes older checkpoints."""
        folder = self._checkpoints / f"step-{step:08d}"
        state = {"step": step, "threads": torch.get_num_threads(), "identity": identity}
        if self.losses.is_file():
            sync(self.losses)  # resuming from the checkpoint needs the losses up to its step
        with atomic_folder(folder) as unfinished:
            method.save(unfinished)
            write_state(optimization.state_dict(), unfinished / "optimization.pt")
            write_json(state, unfinished / "state.json")
        for old in self._checkpoints.glob("step-*"):
            if old != folder:
                shutil.rmtree(old)

    def read_losses(self) -> list[dict[str, float]]:
        """The lines of `losses.jsonl`."""
        if not self.losses.is_file():
            return []
        try:
            return [json.loads(line) for line in self.losses.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError, RecursionError) as error:
            raise BolidError(f"{self.losses}: cannot be read ({error}); start over with --overwrite") from error

    def _keep_losses(self, steps: int) -> None:
        lines = self.losses.read_text(encoding="utf-8").splitlines() if self.losses.is_file() else []
        if len(lines) < steps:
            raise BolidError(f"{self.losses} lacks steps before {steps}; start over with --overwrite")
        write_text(self.losses, "".join(f"{line}\n" for line in lines[:steps]))


class LossLog:
    """Appends a step's losses to `losses.jsonl`, in full precision, and to the tracker."""

    def __init__(self, run: TrainingRun, first_step: int, tracker: str = "tensorboard", main: bool = True) -> None:
        """The tracker purges steps that a killed run had logged after its last checkpoint. Only the `main` process
        writes. Raises UsageError for a tracker that is not installed."""
        self._exit_stack = ExitStack()
        self._add: Callable[[int, dict[str, float]], None] | None = None
        if main:
            self._file = self._exit_stack.enter_context(run.losses.open("a", encoding="utf-8", buffering=1))
            self._add = (_wandb if tracker == "wandb" else _tensorboard)(run.folder, first_step, self._exit_stack)

    def write(self, step: int, losses: dict[str, float]) -> None:
        if self._add:
            self._file.write(json.dumps({"step": step, **losses}) + "\n")
            self._add(step, losses)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()


def _tensorboard(folder: Path, first_step: int, exit_stack: ExitStack) -> Callable[[int, dict[str, float]], None]:
    events = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)
    exit_stack.callback(events.close)

    def add(step: int, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            events.add_scalar(name, value, step)

    return add


def _wandb(folder: Path, _first_step: int, exit_stack: ExitStack) -> Callable[[int, dict[str, float]], None]:
    try:
        import wandb
    except ImportError:
        raise UsageError(
            '[train] tracker "wandb" needs Weights & Biases: `pip install wandb`, or take "tensorboard"'
        ) from None
    events = wandb.init(project="bolid", name=folder.name, dir=folder)
    exit_stack.callback(events.finish)
    return lambda step, losses: events.log(losses, step=step)
