"""`python -m benchmarks.synthetic_people [--people 60] [--out FILE]`: what made-up people cost, and how the embedded
models see them. It prints the tables of `results/synthetic_people.md`.

Times are CPU time of one process, so that a shared machine does not change them; JPEG included. Run it with
`OMP_NUM_THREADS=1`.
"""

import argparse
import io
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bolid_data import weights
from bolid_data.curate.measurers.faces import FaceMeasurer
from bolid_data.curate.measurers.measurer import Photo as Measured
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.synthetic.fields import PARTS
from bolid_data.synthetic.lens import jpeg
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Photo, take_photo
from bolid_data.synthetic.pieces import SURFACES
from bolid_data.synthetic.truth import PersonTruth

_SEED = 2026
_PHOTOS = 4  # per person
_SIZE = (720, 1008)
_MIN_SCORE = 0.5
_TIMED = (((64, 64), 48), ((128, 128), 48), ((1000, 1400), 12))
_TURNS = ((0, 30), (30, 60), (60, 120), (120, 181))
_COVERED = [PARTS.index(name) for name in ("chest", "hips")]


@dataclass(frozen=True)
class Row:
    """What the models find on one photo, and the truth beside it."""

    turn: float  # degrees from the camera, 0 to 180
    score: float  # of the best detected person
    people: int
    faces: int
    nose: bool  # visible
    errors: list[float]  # of joints that are visible and detected, % of stature


def main(people: int, out: Path | None) -> None:
    size = weights.find("synthetic-body").path.stat().st_size
    lines = [f"The body: {size / 1e6:.1f} MB.", "", *_speed(), "", *_clothing(10 * people), "", *_models(people)]
    print(text := "\n".join(lines))
    if out:
        out.write_text(f"{text}\n", encoding="utf-8")


def _speed() -> list[str]:
    lines = ["| picture | photos/s on a core | slowest, s |", "| --- | --- | --- |"]
    for index in range(40):  # cuts of clothes are kept once they were needed
        take_photo([draw_person(_SEED + 3, index)], index, (64, 64))
    for size, count in _TIMED:
        seconds = []
        for index in range(count):
            if index % _PHOTOS == 0:
                person = draw_person(_SEED + size[0], index // _PHOTOS)
            start = time.process_time()
            jpeg(take_photo([person], (_SEED, index), size).image)
            seconds.append(time.process_time() - start)
        lines.append(f"| {size[0]}×{size[1]} | {1 / np.mean(seconds):.1f} | {max(seconds):.2f} |")
    return lines


def _clothing(count: int) -> list[str]:
    """Skin among the pixels of chest and hips, over random photos."""
    shares = []
    for index in range(count):
        truth = take_photo([draw_person(_SEED + 1, index)], (_SEED + 1, index), (96, 128)).truth
        covered = np.isin(truth.parts, _COVERED)
        shares.append((covered & (truth.surfaces == SURFACES.index("skin"))).sum() / max(covered.sum(), 1))
    over = sum(share > 0.01 for share in shares)
    return [
        f"Clothing: skin is on more than 1 % of the pixels of chest and hips on {over} of {count} photos of as many",
        f"people; on {max(shares):.1%} at most.",
    ]


def _models(people: int) -> list[str]:
    pose, face = PoseMeasurer(), FaceMeasurer()
    rows = []
    for index in range(people * _PHOTOS):
        rendered = take_photo([draw_person(_SEED + 2, index // _PHOTOS)], (_SEED + 2, index), _SIZE)
        rows.append(_row(rendered, str(index), pose, face))
    lines = ["| turn from the camera | photos | YOLO11n-pose's score | joints' error, % of stature: mean (median) |"]
    lines.append("| --- | --- | --- | --- |")
    for low, high in _TURNS:
        those = [row for row in rows if low <= row.turn < high]
        errors = np.concatenate([row.errors for row in those] or [[np.nan]])
        name = f"{low}° to {min(high, 180)}°"
        score = np.mean([row.score for row in those] or [np.nan])
        lines.append(f"| {name} | {len(those)} | {score:.2f} | {errors.mean():.1f} ({np.median(errors):.1f}) |")
    fronts = [row for row in rows if row.nose]
    alone = np.mean([row.people == 1 for row in rows])
    lines += [
        "",
        f"Exactly one person (score ≥ {_MIN_SCORE}) on {alone:.1%} of {len(rows)} photos; exactly one face by",
    ]
    lines += [f"MTCNN on {np.mean([row.faces == 1 for row in fronts]):.1%} of the {len(fronts)} whose nose is visible."]
    return lines


def _row(rendered: Photo, name: str, pose: PoseMeasurer, face: FaceMeasurer) -> Row:
    measured = [Measured(name, Image.open(io.BytesIO(jpeg(rendered.image))))]
    people = [row for row in pose.measure(measured)["detections"] if row["score"] >= _MIN_SCORE]
    faces = [row for row in face.measure(measured)["detections"] if row["score"] >= _MIN_SCORE]
    truth = rendered.truth.people[0]
    best = max(people, key=lambda row: row["score"], default=None)
    errors = _errors(truth, np.array(best["keypoints"])) if best else []
    return Row(
        turn=abs((truth.yaw + 180) % 360 - 180),
        score=best["score"] if best else 0.0,
        people=len(people),
        faces=len(faces),
        nose=bool(truth.keypoints[0, 2]),
        errors=errors,
    )


def _errors(truth: PersonTruth, detected: np.ndarray) -> list[float]:
    """Distances in the picture, as a share of the stature at the person's distance."""
    across, depth = truth.joints[:, 0] / truth.joints[:, 2], truth.joints[:, 2].mean()
    focal = np.polyfit(across, truth.keypoints[:, 0], 1)[0]  # a pinhole: x = f · X / Z + c
    stature = truth.measures["stature"] * focal / depth
    both = (truth.keypoints[:, 2] > 0) & (detected[:, 2] >= _MIN_SCORE)
    distances = np.linalg.norm(detected[:, :2] - truth.keypoints[:, :2], axis=1)
    return (distances[both] / stature * 100).tolist()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--out", type=Path)
    main(**vars(parser.parse_args()))
