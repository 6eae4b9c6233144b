"""Fetching a list of photos on loopback: wall-clock time of complete processes, and growth of time and memory.

Compared with img2dataset, which writes WebDataset without resizing (the best settings tried), and with the limit,
keep-alive sockets to disk. `make bench` installs img2dataset in a separate environment, as its pins conflict.
"""

import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import ROUNDS, Row
from benchmarks.server import serve
from bolid_data.progress import note

PHOTOS, BYTES = 2_000, 320_000
GROWTH, SMALL = (1_000, 10_000, 100_000), 3_000
IMG2DATASET = Path(".venv/img2dataset/bin/img2dataset")
MANIFEST = (
    'name = "list"\n[source]\nkind = "urls"\npath = "urls.csv"\nallow_local = true\ndelay = 0.0\nconcurrency = 16\n'
)


@dataclass(frozen=True)
class ProcessCost:
    seconds: float
    peak: float  # MiB, of the largest process


def rows(work: Path) -> list[Row]:
    tools = ["ours", "img2dataset 1.47.0", "keep-alive sockets to disk, no checks"]
    runs: dict[str, list[ProcessCost]] = {tool: [] for tool in tools}
    with serve(PHOTOS, BYTES) as address:
        for number in range(ROUNDS):
            folder = work / f"round{number}"
            folder.mkdir(parents=True)
            runs[tools[0]].append(_run(_ours(folder, address, PHOTOS)))
            runs[tools[1]].append(_run(_img2dataset(folder, address)))
            runs[tools[2]].append(
                _run([sys.executable, "-m", "benchmarks.sockets", address, str(PHOTOS), str(folder / "sockets")])
            )
    # Only now: creating files right after deleting others is slow.
    shutil.rmtree(work)
    speed = {tool: PHOTOS / statistics.median(run.seconds for run in rounds) for tool, rounds in runs.items()}
    peak = {tool: max(run.peak for run in rounds) for tool, rounds in runs.items()}
    what = f"fetch {PHOTOS} photos of {BYTES // 1000} KB: header, sha256, store, catalog"
    return [
        Row(f"{what} (peak {peak['ours']:.0f} MiB)", speed["ours"], f"{tool} (peak {peak[tool]:.0f} MiB)", speed[tool],
            "photos/s")
        for tool in tools[1:]
    ]  # fmt: skip


def growth(work: Path) -> str:
    """A table of photos, seconds, speed and peak memory."""
    lines = ["| photos | seconds | photos/s | peak memory |", "| ---: | ---: | ---: | ---: |"]
    for photos in GROWTH:
        folder = work / str(photos)
        folder.mkdir(parents=True)
        with serve(photos, SMALL) as address:
            run = _run(_ours(folder, address, photos))
        lines.append(f"| {photos:,} | {run.seconds:.1f} | {photos / run.seconds:.0f} | {run.peak:.0f} MiB |")
        note(lines[-1])
    shutil.rmtree(work)
    return "\n".join(lines)


def _ours(folder: Path, address: str, photos: int) -> list[str]:
    rows = (f"person {number // 200},{address}/{number}.jpg\n" for number in range(photos))
    with (folder / "urls.csv").open("w") as out:
        out.write("person,url\n")
        out.writelines(rows)
    people = -(-photos // 200)
    (folder / "m.toml").write_text(MANIFEST + f"max_people = {people}\n")
    return [sys.executable, "-m", "bolid", "scrape", str(folder / "m.toml"), "--data", str(folder / "data")]


def _img2dataset(folder: Path, address: str) -> list[str]:
    (folder / "list.csv").write_text("url\n" + "".join(f"{address}/{number}.jpg\n" for number in range(PHOTOS)))
    return [
        str(IMG2DATASET), f"--url_list={folder / 'list.csv'}", "--input_format=csv", "--url_col=url",
        "--output_format=webdataset", f"--output_folder={folder / 'img2dataset'}", "--processes_count=2",
        "--thread_count=32", "--number_sample_per_shard=1000", "--resize_mode=no", "--disable_all_reencoding=True",
    ]  # fmt: skip


def _run(command: list[str]) -> ProcessCost:
    """Runs a process to completion. Raises CalledProcessError if it fails."""
    launched = subprocess.run(
        [sys.executable, "-m", "benchmarks.launch", *command], stdout=subprocess.PIPE, check=True, text=True
    )
    return ProcessCost(**json.loads(launched.stdout))


if __name__ == "__main__":
    for row in rows(Path(sys.argv[1])):
        print(" | ".join(row.cells()))
