"""Networks prepared for this machine: compiled by OpenVINO for a CPU, run by torch on a GPU.

OpenVINO takes a fifth of torch's time per photo, in the same single precision. Half precision would be faster still but
moves keypoints by several pixels.
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
"""Batch size on a GPU; smaller batches are padded. A CPU is as fast with one photo at a time."""

# The packages that a compiled network depends on, besides its weights and the code that builds it.
_PACKAGES = ("openvino", "torch", "ultralytics", "timm", "facenet-pytorch")


class Network(nn.Module):
    """A network for inference: maps a batch to a tuple of tensors; safe to call from several threads.

    `build` returns the torch module; it is called once, then the compiled network is read from the user's cache.
    `example` is a batch to trace it with, `shape` the shape of that batch with -1 for sizes that vary.
    """

    def __init__(
        self, build: Callable[[], nn.Module], weights: Weights, example: Tensor, shape: Sequence[int], device: str
    ) -> None:
        super().__init__()
        self.on_gpu = device != "cpu"
        self._example, self._shape = example, list(shape)
        if self.on_gpu:
            # Deterministic results, which differ from those of a CPU only in their last digits.
            torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
            self._module = build().to(device).eval()
        else:
            self._build, self._key = build, _key(build, weights, shape)
            self._compiled: Any = None
            self._compiling, self._per_thread = threading.Lock(), threading.local()
        # MTCNN's code asks a network for the type of its parameters.
        self.type_of_parameters = nn.Parameter(torch.empty(0, device=device), requires_grad=False)

    @torch.inference_mode()
    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        if self.on_gpu:
            outputs = self._module(batch.to(self.type_of_parameters.device))
            return outputs if isinstance(outputs, tuple) else (outputs,)
        arrays = self._request().infer([batch.numpy()])
        return tuple(torch.from_numpy(arrays[i]) for i in range(len(arrays)))

    def infer(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
        """The outputs for each image (h, w, 3), of any shape; an image's outputs do not depend on the others."""
        by_shape = defaultdict(list)
        for index, image in enumerate(images):
            by_shape[image.shape].append(index)
        size = GPU_BATCH if self.on_gpu else 1
        results: dict[int, tuple[np.ndarray, ...]] = {}
        for shape, indices in by_shape.items():
            for part in (indices[start : start + size] for start in range(0, len(indices), size)):
                batch = np.zeros((size, *shape), dtype=np.uint8)
                batch[: len(part)] = [images[index] for index in part]
                outputs = [output.cpu().numpy() for output in self(torch.from_numpy(batch))]
                results |= {index: tuple(output[row] for output in outputs) for row, index in enumerate(part)}
        return [results[index] for index in range(len(images))]

    def _request(self) -> Any:
        with self._compiling:
            if self._compiled is None:
                self._compiled = _compile(self._build, self._key, self._example, self._shape)
        if not hasattr(self._per_thread, "request"):
            self._per_thread.request = self._compiled.create_infer_request()
        return self._per_thread.request


class PixelInput(nn.Module):
    """Wraps a network of images (b, 3, h, w) in 0..1 to take pixels (b, h, w, 3) in 0..255. Compiled, the conversion is
    free, and bytes are a quarter of the data to send to a GPU."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Any:
        return self.network(pixels.permute(0, 3, 1, 2).float() / 255)


def describe(device: str) -> str:
    """The library that runs networks on this device, as far as their outputs depend on it; part of a model's id."""
    library = "openvino" if device == "cpu" else "torch"
    return f"{library} {version(library)} float32"


@cache
def threads() -> int:
    """Number of worker threads: one for each core that this process may use."""
    if allowed := os.environ.get("OMP_NUM_THREADS", ""):
        return max(1, int(allowed.split(",")[0]))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> None:
    """Initializer of each of the `threads()` worker threads: limits torch to one core."""
    torch.set_num_threads(1)


def _key(build: Callable[[], nn.Module], weights: Weights, shape: Sequence[int]) -> str:
    function = build.func if isinstance(build, partial) else build
    code = Path(inspect.getsourcefile(function) or "").read_bytes()
    code_key = [function.__qualname__, hashlib.sha256(code).hexdigest(), *map(version, _PACKAGES)]
    return hashlib.sha256(json.dumps([weights.sha256, list(shape), *code_key]).encode()).hexdigest()


def _compile(build: Callable[[], nn.Module], key: str, example: Tensor, shape: list[int]) -> Any:
    openvino = _import_openvino()
    core = openvino.Core()
    # One thread per request and one request per calling thread: faster than splitting a photo among cores. Not pinned
    # to cores, as other programs run there.
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
        except RuntimeError:  # damaged: convert it again
            shutil.rmtree(file.parent, ignore_errors=True)
    model = _convert(openvino, build(), example, shape)
    _keep(openvino, model, file)
    # From the file, as in every later run: the model in memory gives slightly different outputs.
    return core.compile_model(file if file.exists() else model, "CPU", settings)


@torch.inference_mode()
def _convert(openvino: Any, module: nn.Module, example: Tensor, shape: list[int]) -> Any:
    module.eval()
    module(example)  # what the first call prepares is not part of the network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns about itself and about sizes that are only checked
        traced = torch.jit.trace(module, example, check_trace=False)
        return openvino.convert_model(traced, example_input=example, input=[openvino.PartialShape(shape)])


def _keep(openvino: Any, model: Any, file: Path) -> None:
    """Writes a converted network into the cache, atomically."""
    scratch = None
    try:
        file.parent.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=file.parent.parent))
        openvino.save_model(model, scratch / file.name, compress_to_fp16=False)
        sync_tree(scratch)
        scratch.rename(file.parent)
    except (OSError, RuntimeError):  # disk full, not writable, or another process was first: the cache is optional
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)


_first_use = threading.Lock()


def _import_openvino() -> Any:
    # Importing OpenVINO sends telemetry, unasked. Where the telemetry package cannot be imported, OpenVINO uses a stub
    # that sends nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes its import fail
    import openvino

    # It initialises its NumPy bindings at first use, where two threads can deadlock: one holds that lock and waits for
    # the GIL, the other the reverse (pybind/pybind11#4877).
    with _first_use:
        _ = openvino.Tensor(np.zeros(1, np.uint8)).data
    return openvino
