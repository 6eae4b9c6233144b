"""Measuring photos, compared with a straightforward loop.

300 drawn photos of 1200×1600 (one person, several people, nobody, watermarks), every measurer on every photo. Ours is
all of `bolid filter --measure-all`; theirs opens and verifies each file, then runs `YOLO.predict`, MTCNN at full size
and the watermark network on it, with the same weights. Both in turn, each in a process of its own, started cold. Their
measurements are judged by our judge, so that only the measurements can differ.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from platformdirs import user_cache_dir

from benchmarks.memory import peak_memory
from benchmarks.rows import Row
from bolid_data import manifest
from bolid_data.collect.run import scrape
from bolid_data.curate.judge import ModelIds, judge
from bolid_data.curate.judge.verdicts import last_models
from bolid_data.dataset import Dataset
from bolid_data.gallery.cast import draw_cast
from bolid_data.gallery.overlay import KINDS, OPACITY, overlay
from bolid_data.records import Measurements, Model
from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.photo import Shot, take_photo

PHOTOS, SIZE, SEED, ROUNDS = 300, (1200, 1600), 41, 2
MANIFEST = """
name = "curate"
[source]
kind = "folder"
path = "{}"
[models]
device = "cpu"
[filter]
min_photos_per_person = 1
"""


def draw(folder: Path) -> Path:
    """Draws the photos, one folder for each person, unless they exist."""
    if not folder.exists():
        part = Path(tempfile.mkdtemp(dir=folder.parent))
        with ProcessPoolExecutor(mp_context=get_context("forkserver")) as pool:
            list(pool.map(_draw, range(PHOTOS), [part] * PHOTOS, chunksize=10))
        part.rename(folder)
    return folder


def _draw(index: int, folder: Path) -> None:
    people = draw_cast(12, SEED)
    count = {0: 0, 1: 2, 2: 2, 3: 3}.get(index % 25, 1)
    group = [people[(index + i) % 12].person for i in range(count)]
    image = Image.fromarray(take_photo(group, (SEED, index), SIZE, Shot(FRAMINGS[index % 4])).image)
    if index % 6 == 0:
        mark, opacity = KINDS[index // 6 % 3], tuple(OPACITY)[index // 18 % 2]
        image = overlay(image, mark, opacity, np.random.default_rng((SEED, index)))
    file = folder / people[index % 12].slug / f"{index}.jpg"
    file.parent.mkdir(exist_ok=True)
    image.save(file, quality=90)


def ours(dataset: Dataset, loaded: manifest.Manifest, engine: str) -> dict[str, Any]:
    """Runs every measurer on every photo. Returns times, models and verdicts."""
    from bolid_data.curate import near_duplicates
    from bolid_data.curate.engines import local
    from bolid_data.curate.run import PersonBoxes, build_measurers

    build = partial(build_measurers, loaded.models, loaded.folder, "cpu", PersonBoxes(dataset.catalog))
    measurers = build()
    ids = ModelIds(**{kind: measurer.model.id for kind, measurer in measurers.items()})
    job = local.plan(dataset.catalog, list(measurers.values()), [], (0, 0), None)
    if engine == "ray":
        from bolid_data.curate.engines import ray_cluster

        run = ray_cluster.measure(dataset.catalog, dataset.store, job, build)
    else:
        run = local.measure(dataset.catalog, dataset.store, job)
    near_duplicates.find(dataset.catalog, ids.hash)
    spent = {name: round(nanoseconds / 1e9, 1) for name, nanoseconds in run.nanoseconds.items()}
    return {"spent": spent, "models": asdict(ids), "verdicts": _verdicts(dataset, loaded, ids)}


def theirs(dataset: Dataset, loaded: manifest.Manifest) -> dict[str, Any]:
    """The loop, and the verdicts from its measurements. Runs after `ours`, whose hashes and qualities it uses."""
    import torch
    from facenet_pytorch import MTCNN

    from bolid_data import weights
    from bolid_data.curate.measurers.people import import_yolo
    from bolid_data.curate.measurers.watermark_network import load

    yolo = import_yolo()(str(weights.find("yolo11n-pose").path))
    mtcnn = MTCNN(keep_all=True)
    timm = load(weights.find("bolid-watermark").path)
    rows_by_kind: dict[str, list[dict[str, Any]]] = {"pose": [], "face": [], "watermark": []}
    sha256s = []
    for file in dataset.store.files():
        with Image.open(file) as image:
            image.verify()
        (people,) = yolo.predict(str(file), conf=0.05, verbose=False)
        photo = Image.open(file).convert("RGB")
        with torch.inference_mode():
            boxes, scores = mtcnn.detect(photo)
            small = photo.resize((SIZE[0] * 512 // SIZE[1], 512), Image.Resampling.BILINEAR)
            logit = timm(torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255)[1]
        sha256s.append(file.stem)
        rows_by_kind["pose"] += [
            {"sha256": file.stem, "kind": "person", "score": score, "box": box, "keypoints": keypoints}
            for score, box, keypoints in zip(
                people.boxes.conf.tolist(), people.boxes.xyxy.tolist(), people.keypoints.data.tolist(), strict=True
            )
        ]
        rows_by_kind["face"] += [
            {"sha256": file.stem, "kind": "face", "score": float(score), "box": box.tolist(), "keypoints": None}
            for score, box in zip(scores, boxes if boxes is not None else [], strict=False)
        ]
        rows_by_kind["watermark"].append({"sha256": file.stem, "probability": float(logit.sigmoid())})
    tables = {"pose": "detections", "face": "detections", "watermark": "watermarks"}
    models = {kind: Model(f"plain-{kind}", kind, "", "{}", "") for kind in tables}
    dataset.catalog.measurements.record_measurements(
        [Measurements(models[kind], sha256s, {tables[kind]: rows}) for kind, rows in rows_by_kind.items()], {}
    )
    with dataset.catalog.open() as con:
        ids = last_models(con)
    ids = replace(ids, **{kind: model.id for kind, model in models.items()})
    return {"models": asdict(ids), "verdicts": _verdicts(dataset, loaded, ids)}


def _verdicts(dataset: Dataset, loaded: manifest.Manifest, ids: ModelIds) -> dict[str, list[str]]:
    judge(dataset.catalog, loaded.filter, ids)
    with dataset.catalog.open(read_only=True) as con:
        return {sha256: sorted(reasons) for sha256, reasons in con.execute(
            "SELECT sha256, reasons FROM verdicts").fetchall()}  # fmt: skip


def table(work: Path, format_rows: Callable[[list[Row]], str]) -> str:
    """The rows, followed by how the threads' time was spent and which verdicts differ."""
    rows, results = measured(work)
    return f"{format_rows(rows)}\n\n{_differences(results)}"


def measured(work: Path) -> tuple[list[Row], dict[str, dict[str, Any]]]:
    """Times ours, theirs and Ray in turn. Returns the rows and the result of each one's last run."""
    photos = draw(Path(user_cache_dir("bolid")) / f"benchmark-curate-{SEED}-{PHOTOS}")
    seconds: dict[str, list[float]] = {"local": [], "theirs": [], "ray": []}
    results: dict[str, dict[str, Any]] = {}
    for turn in range(ROUNDS):
        for side, times in seconds.items():
            folder = work / f"{turn}-{'ray' if side == 'ray' else 'local'}"
            if side != "theirs":
                folder.mkdir(parents=True)
                (folder / "m.toml").write_text(MANIFEST.format(photos))
                scrape(manifest.load(folder / "m.toml"), Dataset(folder / "data"))
            began = time.perf_counter()
            process = subprocess.run(
                [sys.executable, "-m", "benchmarks.curate", side, str(folder)],
                stdout=subprocess.PIPE,
                check=True,
                env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},  # as `bolid` sets it; busy waiting slows both
            )
            times.append(time.perf_counter() - began)
            results[side] = json.loads(process.stdout.splitlines()[-1])
            print(f"{side}: {times[-1]:.1f} s, peak memory {results[side]['peak']:.0f} MiB")
    speed = {side: PHOTOS / statistics.median(times) for side, times in seconds.items()}
    what = f"filter --measure-all: {PHOTOS} photos of 1200×1600 (peak {results['local']['peak']:.0f} MiB)"
    plain = "open, verify, `YOLO.predict`, full-size MTCNN, timm per file"
    rows = [
        Row(what, speed["local"], f"{plain} (peak {results['theirs']['peak']:.0f} MiB)", speed["theirs"], "photos/s"),
        Row(what, speed["local"], "the same by Ray, on this machine", speed["ray"], "photos/s"),
    ]
    return rows, results


def _differences(results: dict[str, dict[str, Any]]) -> str:
    lines = []
    for side in ("local", "ray"):
        spent = results[side]["spent"]
        shares = (f"{name} {value / sum(spent.values()):.0%}" for name, value in spent.items())
        lines.append(f"- Threads' time, {side}: {', '.join(shares)}.")
    local = results["local"]["verdicts"]
    for side in ("ray", "theirs"):
        other = results[side]["verdicts"]
        differing = [sha256 for sha256 in local if local[sha256] != other[sha256]]
        words = (f"{sha[:12]} is {_word(local[sha])} by ours, {_word(other[sha])} by {side}" for sha in differing)
        named = "; ".join(words)
        lines.append(f"- Verdicts, ours and {side}: {1 - len(differing) / len(local):.1%} the same. {named}".rstrip())
    return "\n".join(lines)


def _word(reasons: list[str]) -> str:
    return " + ".join(reasons) or "kept"


def _child(side: str, folder: Path) -> None:
    loaded, dataset = manifest.load(folder / "m.toml"), Dataset(folder / "data")
    result = theirs(dataset, loaded) if side == "theirs" else ours(dataset, loaded, side)
    result["peak"] = peak_memory()
    print(json.dumps(result))


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]))
