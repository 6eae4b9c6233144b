"""Runs measurers over photos on a Ray cluster (Moritz et al., Ray: A Distributed Framework for Emerging AI
Applications, 2018): the same measurers, one set for each core, or for each GPU where models run on one.

Workers read photos by their paths in the store, which must be on this machine or on a file system that all machines
share, and load models by name, as this machine does. Their results come back here and are committed chunk by chunk. Ray
restarts a worker that dies, with the photos it had.
"""

import logging
import os
import pickle
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bolid_data.catalog import Catalog
from bolid_data.curate.engines.local import CHUNK, BatchResult, Job, MeasurementRun, decode, measure_batch
from bolid_data.curate.measurers.measurer import Measurer
from bolid_data.errors import BolidError, UsageError
from bolid_data.progress import bar
from bolid_data.store import Store

ROUND = 10_000
"""Photos handed to the cluster at once. Workers start afresh in each round, which takes seconds."""

Build = Callable[[], Mapping[str, Measurer]]
"""Builds measurers, by what they measure, in the process that calls it."""


def measure(
    catalog: Catalog, store: Store, job: Job, build: Build, address: str | None = None, on_gpu: bool = False
) -> MeasurementRun:
    """Measures as `local.measure` does, on the cluster at `address`, or on one that it starts on this machine.

    Raises UsageError where Ray is not installed, BolidError if there is no cluster at `address` or a worker fails.
    """
    run = MeasurementRun()
    if not job.photos:
        return run
    with _cluster(address), bar() as progress:
        task = progress.add_task("filter", total=len(job.photos))
        for start in range(0, len(job.photos), ROUND):
            photos = job.photos[start : start + ROUND]
            for result, count in _round(store, job, job.unscreened, photos, build, on_gpu):
                run.commit(catalog, store, result, job)
                run.photos += count
                progress.advance(task, count)
            for result, _ in _round(store, job, job.second_stage, job.remaining(photos), build, on_gpu):
                run.commit(catalog, store, result, job)
    return run


def _round(
    store: Store, job: Job, measurers: Sequence[Measurer], sha256s: Sequence[str], build: Build, on_gpu: bool
) -> Iterator[tuple[BatchResult, int]]:
    """Yields the results for some of the photos at a time, each with the number of photos."""
    if not sha256s:
        return
    import ray.data

    models = [measurer.model.id for measurer in measurers]
    photos = [
        {
            "sha256": sha256,
            "file": str(store.locate(sha256).resolve()),
            "models": [model for model in models if sha256 in job.unmeasured[model]],
        }
        for sha256 in sha256s
    ]
    resource = "GPU" if on_gpu else "CPU"
    workers = min(int(ray.cluster_resources().get(resource, 0)), -(-len(photos) // CHUNK))
    if not workers:
        raise BolidError(f"the Ray cluster has no {resource}, which models.device asks for")
    results = ray.data.from_items(photos, override_num_blocks=-(-len(photos) // CHUNK)).map_batches(
        _Worker,
        fn_constructor_args=(build, job.background),
        batch_size=CHUNK,
        concurrency=workers,
        num_cpus=1,
        num_gpus=int(on_gpu),
    )
    try:
        for row in results.iter_rows():
            result = pickle.loads(row["result"])  # pickled by our own worker, below
            if isinstance(result, BolidError):
                raise result
            yield result, row["photos"]
    except ray.exceptions.RayError as error:
        raise BolidError(f"a Ray worker failed: {_last_line(error)}; what was committed before is kept") from error


class _Worker:
    """Runs measurers in a process of its own."""

    def __init__(self, build: Build, background: str) -> None:
        self._measurers, self._background = list(build().values()), background

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        try:
            result: BatchResult | BolidError = self._measure(batch)
        except BolidError as error:  # raised here, it would arrive as text inside a RayError
            result = error
        return {"result": [pickle.dumps(result)], "photos": [len(batch["sha256"])]}

    def _measure(self, batch: dict[str, np.ndarray]) -> BatchResult:
        unmeasured = defaultdict(set)
        for sha256, models in zip(batch["sha256"], batch["models"], strict=True):
            for model in models:
                unmeasured[str(model)].add(str(sha256))
        total = BatchResult()
        for sha256, name in zip(batch["sha256"], batch["file"], strict=True):
            file = Path(name)
            if not file.parent.is_dir():  # not the photo's fault
                raise BolidError(f"{file}: a Ray worker cannot see it; the photo store must be on a shared file system")
            decoded = decode([(str(sha256), file)], self._background)
            total = total.merge(decoded.merge(measure_batch(decoded.photos, self._measurers, unmeasured)))
            total.photos.clear()
        return total


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """A Ray cluster to work on; one that was running before keeps running."""
    # Read when Ray is imported or started: no usage statistics, no log lines in the progress bar.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray.data
    except ImportError as error:
        raise UsageError("--engine ray needs Ray; run `pip install 'bolid[ray]'`") from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    running = ray.is_initialized()
    quiet: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    try:
        if address and not running:
            ray.init(address, **quiet)
        elif not running:
            ray.init(include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BolidError(
            f"no Ray cluster at {address} ({_last_line(error)}); start one with `ray start --head`"
        ) from error
    try:
        yield
    finally:
        if not running:
            ray.shutdown()


def _last_line(error: BaseException) -> str:
    return ([line for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1].strip()
