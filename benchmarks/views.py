"""`python -m benchmarks.views [--people 400] [--out FILE] [--work FOLDER]`: how much of a made-up adult's measures can
be read from V photos from all sides. It prints tables of R².

What is seen of a person is kept in `work`, one file per person, so that an interrupted run continues.
"""

import argparse
import io
from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image

from bolid_data.curate.measurers.measurer import Photo as Measured
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.lens import jpeg
from bolid_data.synthetic.measures import Measures
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Shot, take_photo
from small_world.view_features import mirrored, mirrored_mask, of_joints, of_mask
from small_world.view_reader import explained, read, table

_SEED = 2031
_PHOTOS = 16  # per person
_SIZE = (192, 256)
_VIEWS = (1, 2, 4, 8, 16)
_TURNS = ((0, 30), (30, 60), (60, 120), (120, 181))
_RESAMPLES = 500
_NAMES = [field.name for field in fields(Measures)]
_READ = ("leg / stature", "arm / stature", "shoulders / stature", "hips / stature", "waist girth / stature", "BMI")
_SOURCES = {
    "detected joints": ("detected", False),
    "detected joints, silhouette": ("detected", True),
    "true joints, silhouette": ("true", True),
}
_MAIN = "detected joints, silhouette"


def main(people: int, out: Path | None, work: Path) -> None:
    photos = _kept(people, work)
    truth = _measures(photos)
    found = {name: read(_told(photos, *source), truth, _VIEWS) for name, source in _SOURCES.items()}
    text = "\n".join([*_by_views(found, truth), "", *_by_photo(found[_MAIN][1], truth, photos)])
    print(text)
    if out:
        out.write_text(f"{text}\n", encoding="utf-8")


def _kept(people: int, work: Path) -> list[dict[str, np.ndarray]]:
    """What is seen of people, from `work` where it is there."""
    work.mkdir(parents=True, exist_ok=True)
    pose = PoseMeasurer()
    kept = []
    for index in range(people):
        path = work / f"{index:05d}.npz"
        if not path.exists():
            partial = path.with_suffix(".part.npz")
            np.savez_compressed(partial, **_photographed(index, pose))  # type: ignore[arg-type]  # numpy names its options
            partial.rename(path)
        kept.append(dict(np.load(path)))
    return kept


def _photographed(index: int, pose: PoseMeasurer) -> dict[str, np.ndarray]:
    person = draw_person(_SEED, index)
    rows: list[dict[str, np.ndarray]] = []
    for number in range(_PHOTOS):
        seed = (_SEED, index, number)
        yaw = float(np.random.default_rng((*seed, 1)).uniform(-180, 180))
        taken = take_photo([person], seed, _SIZE, Shot(yaw=yaw))
        found = pose.measure([Measured(str(number), Image.open(io.BytesIO(jpeg(taken.image))))])["detections"]
        best = max(found, key=lambda row: row["score"], default={"keypoints": np.zeros((17, 3))})
        truth = taken.truth
        rows.append(
            {
                "detected": np.array(best["keypoints"], np.float32),
                "true": truth.people[0].keypoints,
                "mask": truth.mask,
                "yaw": np.array(truth.people[0].yaw, np.float32),
                "framing": np.array(truth.framing),
            }
        )
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return stacked | {"measures": np.array([getattr(person.measures, name) for name in _NAMES])}


def _measures(people: list[dict[str, np.ndarray]]) -> np.ndarray:
    """(people, 6) what is to be read, in the order of `_READ`: shares of stature, because a photo has no scale."""
    of = dict(zip(_NAMES, np.array([one["measures"] for one in people]).T, strict=True))
    lengths = (of["thigh"] + of["shin"], of["upper_arm"] + of["forearm"], of["shoulder_width"], of["hip_width"])
    return np.stack([*(length / of["stature"] for length in (*lengths, of["waist_girth"])), of["bmi"]], 1)


def _told(people: list[dict[str, np.ndarray]], source: str, outline: bool) -> np.ndarray:
    """(people, 2, photos, numbers) of each photo and of its mirror image."""
    told = []
    for one in people:
        rows = [_photo(joints, mask, source, outline) for joints, mask in zip(one[source], one["mask"], strict=True)]
        told.append(np.stack(rows, 1))
    return np.array(told)


def _photo(joints: np.ndarray, mask: np.ndarray, source: str, outline: bool) -> np.ndarray:
    if source == "true":  # hidden joints are known too, but not those outside the picture
        inside = ((joints[:, :2] >= 0) & (joints[:, :2] < _SIZE)).all(1)
        joints = np.column_stack([joints[:, :2], inside])
    told = [of_joints(joints), of_joints(mirrored(joints, _SIZE[0]))]
    if outline:
        widths = of_mask(joints, mask)
        told = [np.concatenate(pair) for pair in zip(told, (widths, mirrored_mask(widths)), strict=True)]
    return np.array(told)


def _by_views(found: dict[str, dict[int, np.ndarray]], truth: np.ndarray) -> list[str]:
    lines = table(found, truth, _READ)
    rng = np.random.default_rng(0)
    chosen = [rng.integers(len(truth), size=len(truth)) for _ in range(_RESAMPLES)]
    lines.append("")
    for count in (_VIEWS[0], _VIEWS[-1]):
        spread = np.std([explained(found[_MAIN][count][who], truth[who]) for who in chosen], axis=0)
        words = f"Standard errors over people with {_MAIN}, {count} photo{'s' if count > 1 else ''}"
        lines.append(f"{words}: {', '.join(f'{value:.2f}' for value in spread)}.")
    return lines


def _by_photo(single: np.ndarray, truth: np.ndarray, kept: list[dict[str, np.ndarray]]) -> list[str]:
    """R² from one photo, by its turn and by its framing."""
    turns = np.abs((np.array([one["yaw"] for one in kept]) + 180) % 360 - 180)
    framings = np.array([one["framing"] for one in kept])
    groups = {f"{low}° to {min(high, 180)}°": (turns >= low) & (turns < high) for low, high in _TURNS}
    groups |= {name.replace("_", " "): framings == name for name in FRAMINGS}
    lines = [f"| one photo | photos | {' | '.join(_READ)} |", f"| --- | --- |{' --- |' * len(_READ)}"]
    for name, those in groups.items():
        errors = ((single - truth[:, None]) ** 2)[those].mean(0) / truth.var(0)
        lines.append(f"| {name} | {those.sum()} | {' | '.join(f'{1 - error:.2f}' for error in errors)} |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("views"))
    main(**vars(parser.parse_args()))
