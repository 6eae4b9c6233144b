"""`bolid filter` on the device: photos per second, idle time, and verdicts compared with those of the CPU."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.accelerator.page import Page
from benchmarks.accelerator.timing import synchronize
from benchmarks.accelerator.workbench import Workbench
from bolid_data.collect.run import scrape
from bolid_data.curate import judge
from bolid_data.curate.engines import local
from bolid_data.curate.run import PersonBoxes, build_measurers
from bolid_data.curate.runtime import GPU_BATCH
from bolid_data.dataset import Dataset
from bolid_data.manifest import Manifest, load

COPIES, SMALL_COPIES = 12, 1
"""How often each of the drawn photos is measured; copies differ in a comment inside the file."""
_MANIFEST = """
name = "curation"
[source]
kind = "folder"
path = "photos"
[filter]
max_hamming_between = false
min_photos_per_person = 1
"""


@dataclass(frozen=True)
class _Run:
    photos: int
    seconds: float
    spent: dict[str, float]  # the threads' seconds, by model
    verdicts: dict[str, list[str]]


def measure_curation(bench: Workbench, page: Page) -> None:
    """All measurers on all photos, first to warm up, then timed, then profiled; and once on the CPU."""
    folder = bench.folder / "curation"
    manifest = _write(bench, folder, SMALL_COPIES if bench.small else COPIES)
    _measure(manifest, folder / "warm-up", bench.device.type)
    run = _measure(manifest, folder / "timed", bench.device.type)
    table = page.table("photos of 1200×1800", "photos/s", "threads", "busy threads' time")
    total = sum(run.spent.values())
    spent = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in run.spent.items())
    table.add(run.photos, f"{run.photos / run.seconds:.1f}", local.threads(), spent)
    if bench.device.type == "cuda":
        page.note(f"The device is idle for {1 - _busy(manifest, folder / 'profiled') / run.seconds:.0%} of the time.")
    try:
        on_cpu = _measure(manifest, folder / "cpu", "cpu")
    except ImportError as error:
        page.note(f"Verdicts were not compared with the CPU's: {error}.")
        return
    same = sum(run.verdicts[sha256] == reasons for sha256, reasons in on_cpu.verdicts.items())
    page.note(
        f"On the CPU: {on_cpu.photos / on_cpu.seconds:.1f} photos/s, {same / len(run.verdicts):.1%} same verdicts."
    )


def _write(bench: Workbench, folder: Path, copies: int) -> Manifest:
    """Writes copies of the shards' photos into a folder for each person, and a manifest beside them."""
    for person, samples in bench.shards.people("train").items():
        (folder / "photos" / person).mkdir(parents=True)
        for sample in samples:
            jpeg = bench.shards.members(sample)["jpg"]
            for copy in range(copies):
                comment = b"\xff\xfe\x00\x04" + copy.to_bytes(2)  # a segment of 4 bytes
                (folder / "photos" / person / f"{sample.key}-{copy}.jpg").write_bytes(jpeg[:2] + comment + jpeg[2:])
    (folder / "manifest.toml").write_text(_MANIFEST)
    return load(folder / "manifest.toml")


def _measure(manifest: Manifest, root: Path, device: str) -> _Run:
    """Collects and measures the photos, as `bolid filter --measure-all` does."""
    shutil.rmtree(root, ignore_errors=True)
    dataset = Dataset(root)
    scrape(manifest, dataset)
    measurers = build_measurers(manifest.models, manifest.folder, device, PersonBoxes(dataset.catalog))
    ids = judge.ModelIds(**{kind: measurer.model.id for kind, measurer in measurers.items()})
    job = local.plan(dataset.catalog, list(measurers.values()), [], (0, 0), None)
    synchronize()
    began = time.perf_counter()
    run = local.measure(dataset.catalog, dataset.store, job, 1 if device == "cpu" else GPU_BATCH)
    synchronize()
    seconds = time.perf_counter() - began
    judge.judge(dataset.catalog, manifest.filter, ids)
    verdicts = {row["sha256"]: row["reasons"] for row in judge.list_photos(dataset.catalog, judge.Wanted((), (), None))}
    return _Run(run.photos, seconds, {name: spent / 1e9 for name, spent in run.nanoseconds.items()}, verdicts)


def _busy(manifest: Manifest, root: Path) -> float:
    """Seconds that kernels ran."""
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as profiler:
        _measure(manifest, root, "cuda")
        torch.cuda.synchronize()
    kernels = [event for event in profiler.key_averages() if event.device_type == DeviceType.CUDA]
    return sum(event.self_device_time_total for event in kernels) / 1e6
