"""Networks made ready for this machine: compiled by OpenVINO for a CPU, run by torch itself on a GPU.

OpenVINO sees a photo in a fifth of the time that torch takes, in the same single precision. Half precision would be
faster again and is not used: it moves keypoints by several pixels.
"""

import hashlib
import inspect
import json
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from platformdirs import user_cache_dir
from torch import Tensor, nn

from bolid_data.atomic_io import sync_tree
from bolid_data.weights import Weights

GPU_BATCH = 8
"""Photos of one shape that a GPU sees at once; fewer are padded. A CPU is as fast with one at a time."""

# What a compiled network is made by, besides its weights and the code that builds it.
_MAKERS = ("openvino", "torch", "ultralytics", "timm", "facenet-pytorch")


class Network(nn.Module):
    """A network for inference: a batch to a tuple of tensors, from any number of threads at once.

    `build` gives the torch module; it runs once, then its compiled form is found in the user's cache. `example` is a
    batch to trace it with, `shape` that batch's shape with -1 for sizes that vary.
    """

    def __init__(
        self, build: Callable[[], nn.Module], weights: Weights, example: Tensor, shape: Sequence[int], device: str
    ) -> None:
        super().__init__()
        self.on_gpu = device != "cpu"
        self._example, self._shape = example, list(shape)
        if self.on_gpu:
            # The same photo gives the same numbers again, and those of a CPU but for their last digits.
            torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
            self._module = build().to(device).eval()
        else:
            self._build, self._key = build, _key(build, weights, shape)
            self._compiled: Any = None
            self._compiling, self._own = threading.Lock(), threading.local()
        # MTCNN's code asks a network for the type of its parameters.
        self.type_of_parameters = nn.Parameter(torch.empty(0, device=device), requires_grad=False)

    @torch.inference_mode()
    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        if self.on_gpu:
            found = self._module(batch.to(self.type_of_parameters.device))
            return found if isinstance(found, tuple) else (found,)
        found = self._request().infer([batch.numpy()])
        return tuple(torch.from_numpy(found[i]) for i in range(len(found)))

    def see(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
        """Images (h, w, 3) of any shapes, to each one's outputs. What is seen on one does not depend on the others."""
        alike = defaultdict(list)
        for index, image in enumerate(images):
            alike[image.shape].append(index)
        size = GPU_BATCH if self.on_gpu else 1
        seen: dict[int, tuple[np.ndarray, ...]] = {}
        for shape, indices in alike.items():
            for part in (indices[start : start + size] for start in range(0, len(indices), size)):
                batch = np.zeros((size, *shape), dtype=np.uint8)
                batch[: len(part)] = [images[index] for index in part]
                outputs = [output.cpu().numpy() for output in self(torch.from_numpy(batch))]
                seen |= {index: tuple(output[row] for output in outputs) for row, index in enumerate(part)}
        return [seen[index] for index in range(len(images))]

    def _request(self) -> Any:
        with self._compiling:
            if self._compiled is None:
                self._compiled = _compile(self._build, self._key, self._example, self._shape)
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        return self._own.request


class OfPixels(nn.Module):
    """A network of images (b, 3, h, w) in 0..1 as one of pixels (b, h, w, 3) in 0..255: compiled, the difference is
    free, and bytes are a quarter of what a GPU would be sent."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Any:
        return self.network(pixels.permute(0, 3, 1, 2).float() / 255)


def describe(device: str) -> str:
    """What runs networks on this device, as far as their numbers depend on it."""
    library = "openvino" if device == "cpu" else "torch"
    return f"{library} {version(library)} float32"


@cache
def threads() -> int:
    """Photos worked on at once on this machine: one for each core that this process may use."""
    if allowed := os.environ.get("OMP_NUM_THREADS", ""):
        return max(1, int(allowed.split(",")[0]))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> None:
    """Called first in each of `threads()` threads: there, torch is to leave the other cores to the others."""
    torch.set_num_threads(1)


def _key(build: Callable[[], nn.Module], weights: Weights, shape: Sequence[int]) -> str:
    function = build.func if isinstance(build, partial) else build
    code = Path(inspect.getsourcefile(function) or "").read_bytes()
    made_by = [function.__qualname__, hashlib.sha256(code).hexdigest(), *map(version, _MAKERS)]
    return hashlib.sha256(json.dumps([weights.sha256, list(shape), *made_by]).encode()).hexdigest()


def _compile(build: Callable[[], nn.Module], key: str, example: Tensor, shape: list[int]) -> Any:
    openvino = _import_openvino()
    core = openvino.Core()
    # One thread a request, and a request for each thread that asks: faster than sharing one photo among cores. Not
    # pinned to cores, where other programs run.
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads(),
        "NUM_STREAMS": threads(),
        "ENABLE_CPU_PINNING": False,
    }
    file = Path(user_cache_dir("bolid")) / "networks" / key / "network.xml"
    if file.exists():
        try:
            return core.compile_model(file, "CPU", settings)
        except RuntimeError:  # damaged: made again
            shutil.rmtree(file.parent, ignore_errors=True)
    model = _convert(openvino, build(), example, shape)
    _keep(openvino, model, file)
    # From the file, as every later run: the model in memory gives other last digits.
    return core.compile_model(file if file.exists() else model, "CPU", settings)


@torch.inference_mode()
def _convert(openvino: Any, module: nn.Module, example: Tensor, shape: list[int]) -> Any:
    module.eval()
    module(example)  # what a first call prepares is no part of the network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of itself, and of sizes that are checked and not used
        traced = torch.jit.trace(module, example, check_trace=False)
        return openvino.convert_model(traced, example_input=example, input=[openvino.PartialShape(shape)])


def _keep(openvino: Any, model: Any, file: Path) -> None:
    """Writes a converted network into the cache, whole or not at all."""
    made = None
    try:
        file.parent.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=file.parent.parent))
        openvino.save_model(model, made / file.name, compress_to_fp16=False)
        sync_tree(made)
        made.rename(file.parent)
    except (OSError, RuntimeError):  # no room, no right to write, or another process was first: it works without
        if made:
            shutil.rmtree(made, ignore_errors=True)


_first_use = threading.Lock()


def _import_openvino() -> Any:
    # Its import alone would send word of it to its makers, unasked. Where its telemetry cannot be imported, it uses a
    # stub of its own that sends nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None says: not to be found
    import openvino

    # What it needs of NumPy it makes ready at first use, where two threads at once wait for each other for ever: one
    # holds that and wants the interpreter, the other the reverse (pybind/pybind11#4877).
    with _first_use:
        _ = openvino.Tensor(np.zeros(1, np.uint8)).data
    return openvino
