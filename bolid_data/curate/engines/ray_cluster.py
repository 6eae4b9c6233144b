"""Runs measurers over photos on a Ray cluster (Moritz et al., Ray: A Distributed Framework for Emerging AI
Applications, 2018): the same measurers, one set of them for each core, or for each GPU where models run on one.

Workers read photos by their paths in the store, so these lie on this machine or on a file system that all machines
share, and load models by name, as this machine does. What they see comes back here and is committed chunk by chunk. A
worker that dies is started again by Ray, with the photos it had.
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
from bolid_data.curate.engines.local import CHUNK, Job, Run, Seen, decode, see
from bolid_data.curate.measurers.measurer import Measurer
from bolid_data.errors import BolidError, UsageError
from bolid_data.progress import bar
from bolid_data.store import Store

ROUND = 10_000
"""Photos handed to the cluster at once. Workers begin anew with each round, which takes them seconds."""

Build = Callable[[], Mapping[str, Measurer]]
"""Makes measurers by what they measure, in the process where it is called."""


def measure(
    catalog: Catalog, store: Store, job: Job, build: Build, address: str | None = None, on_gpu: bool = False
) -> Run:
    """Measures as `engine.measure` does, on the cluster at `address`, or on one of this machine's cores alone.

    Raises UsageError where Ray is not installed, BolidError for a cluster that is not there and a worker that failed.
    """
    run = Run()
    if not job.photos:
        return run
    with _cluster(address), bar() as progress:
        task = progress.add_task("filter", total=len(job.photos))
        for start in range(0, len(job.photos), ROUND):
            photos = job.photos[start : start + ROUND]
            for seen, count in _round(store, job, job.first, photos, build, on_gpu):
                run.commit(catalog, store, seen, job)
                run.photos += count
                progress.advance(task, count)
            for seen, _ in _round(store, job, job.costly, job.stay(photos), build, on_gpu):
                run.commit(catalog, store, seen, job)
    return run


def _round(
    store: Store, job: Job, measurers: Sequence[Measurer], sha256s: Sequence[str], build: Build, on_gpu: bool
) -> Iterator[tuple[Seen, int]]:
    """What measurers see on some of the photos at a time, and on how many."""
    if not sha256s:
        return
    import ray.data

    models = [measurer.model.id for measurer in measurers]
    photos = [
        {
            "sha256": sha256,
            "file": str(store.place(sha256).resolve()),
            "models": [model for model in models if sha256 in job.unseen[model]],
        }
        for sha256 in sha256s
    ]
    resource = "GPU" if on_gpu else "CPU"
    workers = min(int(ray.cluster_resources().get(resource, 0)), -(-len(photos) // CHUNK))
    if not workers:
        raise BolidError(f"the Ray cluster has no {resource}, which models.device asks for")
    seen = ray.data.from_items(photos, override_num_blocks=-(-len(photos) // CHUNK)).map_batches(
        _Worker,
        fn_constructor_args=(build, job.background),
        batch_size=CHUNK,
        concurrency=workers,
        num_cpus=1,
        num_gpus=int(on_gpu),
    )
    try:
        for row in seen.iter_rows():
            found = pickle.loads(row["seen"])  # written by our own worker, below
            if isinstance(found, BolidError):
                raise found
            yield found, row["photos"]
    except ray.exceptions.RayError as error:
        raise BolidError(f"a Ray worker failed: {_last_line(error)}; what was committed before is kept") from error


class _Worker:
    """Holds measurers in a process of its own and shows them photos."""

    def __init__(self, build: Build, background: str) -> None:
        self._measurers, self._background = list(build().values()), background

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        try:
            found: Seen | BolidError = self._see(batch)
        except BolidError as error:  # raised, it would arrive as text within text
            found = error
        return {"seen": [pickle.dumps(found)], "photos": [len(batch["sha256"])]}

    def _see(self, batch: dict[str, np.ndarray]) -> Seen:
        unseen = defaultdict(set)
        for sha256, models in zip(batch["sha256"], batch["models"], strict=True):
            for model in models:
                unseen[str(model)].add(str(sha256))
        total = Seen()
        for sha256, name in zip(batch["sha256"], batch["file"], strict=True):
            file = Path(name)
            if not file.parent.is_dir():  # not the photo's fault
                raise BolidError(f"{file}: a Ray worker cannot see it; the photo store must be on a shared file system")
            decoded = decode([(str(sha256), file)], self._background)
            total = total.and_also(decoded.and_also(see(decoded.photos, self._measurers, unseen)))
            total.photos.clear()
        return total


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """A Ray cluster to work on; one that was there before stays."""
    # Read when Ray is imported or started: no word of it to its makers, and no lines between those of the progress bar.
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
    there = ray.is_initialized()
    quiet: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    try:
        if address and not there:
            ray.init(address, **quiet)
        elif not there:
            ray.init(include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BolidError(
            f"no Ray cluster at {address} ({_last_line(error)}); start one with `ray start --head`"
        ) from error
    try:
        yield
    finally:
        if not there:
            ray.shutdown()


def _last_line(error: BaseException) -> str:
    return ([line for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1].strip()
