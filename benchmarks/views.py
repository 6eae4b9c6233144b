"""`python -m benchmarks.views [--people 100] [--sketches 1000] [--out FILE] [--work FOLDER]`: how much of
a made-up adult's measures can be read from V photos from all sides. It prints the tables of `results/views.md`.

Readers are trained on sketches of many people and scored on photos of others, as the pose model sees them. What is seen
of a person is kept in `work`, one file per person, so that an interrupted run continues.
"""

import argparse
import io
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.view_features import mirrored, mirrored_mask, of_joints, of_mask
from benchmarks.view_reader import read
from benchmarks.view_sketches import detected, sketch
from bolid_data.curate.measurers.measurer import Photo as Measured
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.lens import jpeg
from bolid_data.synthetic.looks import draw_look
from bolid_data.synthetic.measures import Measures
from bolid_data.synthetic.people import Person, draw_person
from bolid_data.synthetic.photo import Shot, photo

_SEED = 2031
_PHOTOS = 16  # per person
_PER_LOOK = 4  # sketches in the same clothes
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


def main(people: int, sketches: int, out: Path | None, work: Path) -> None:
    pose = PoseMeasurer()
    photos = _kept(work / "photos", people, lambda index: _photographed(index, pose))
    drawn = _kept(work / "sketches", sketches, _sketched)
    truth = _measures(photos)
    found = {name: _read(photos, drawn, *source) for name, source in _SOURCES.items()}
    text = "\n".join([*_by_views(found, truth), "", *_by_photo(found[_MAIN][1], truth, photos)])
    print(text)
    if out:
        out.write_text(f"{text}\n", encoding="utf-8")


def _kept(folder: Path, count: int, see: Callable[[int], dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """What is seen of people, from `folder` where it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for index in range(count):
        path = folder / f"{index:05d}.npz"
        if not path.exists():
            partial = path.with_suffix(".part.npz")
            np.savez_compressed(partial, **see(index))
            partial.rename(path)
        kept.append(dict(np.load(path)))
    return kept


def _photographed(index: int, pose: PoseMeasurer) -> dict[str, np.ndarray]:
    person = draw_person(_SEED, index)
    rows = []
    for number in range(_PHOTOS):
        taken = photo([person], (_SEED, index, number), _SIZE, Shot(yaw=_yaw(_SEED, index, number)))
        found = pose.measure([Measured(str(number), Image.open(io.BytesIO(jpeg(taken.image))))])["detections"]
        best = max(found, key=lambda row: row["score"], default={"keypoints": np.zeros((17, 3))})
        truth = taken.truth
        rows.append(
            {
                "detected": np.array(best["keypoints"], np.float32),
                "true": truth.people[0].keypoints,
                "mask": truth.mask,
                "yaw": np.float32(truth.people[0].yaw),
                "framing": np.array(truth.framing),
            }
        )
    return _together(rows, person)


def _sketched(index: int) -> dict[str, np.ndarray]:
    person = draw_person(_SEED + 10, index)
    rows = []
    for number in range(_PHOTOS):
        seed = (_SEED + 10, index, number)
        if number % _PER_LOOK == 0:
            look = draw_look(np.random.default_rng((*seed, 2)), person.sex == "woman")
        rows.append(sketch(person, seed, _SIZE, _yaw(*seed), look))
    return _together(rows, person)


def _yaw(*seed: int) -> float:
    return float(np.random.default_rng((*seed, 1)).uniform(-180, 180))


def _together(rows: list[dict[str, np.ndarray]], person: Person) -> dict[str, np.ndarray]:
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return stacked | {"measures": np.array([getattr(person.measures, name) for name in _NAMES])}


def _measures(people: list[dict[str, np.ndarray]]) -> np.ndarray:
    """(people, 6) what is to be read, in the order of `_READ`: shares of stature, because a photo has no scale."""
    of = dict(zip(_NAMES, np.array([one["measures"] for one in people]).T, strict=True))
    lengths = (of["thigh"] + of["shin"], of["upper_arm"] + of["forearm"], of["shoulder_width"], of["hip_width"])
    return np.stack([*(length / of["stature"] for length in (*lengths, of["waist_girth"])), of["bmi"]], 1)


def _read(
    photos: list[dict[str, np.ndarray]], sketches: list[dict[str, np.ndarray]], joints: str, outline: bool
) -> dict[int, np.ndarray]:
    """What readers say who were trained on sketches; the errors they were trained with are those of other people."""
    found: dict[int, np.ndarray] = {}
    for half in (0, 1):
        lenders = {name: np.concatenate([one[name] for one in photos[1 - half :: 2]]) for name in photos[0]}
        rng = np.random.default_rng(half)
        imitated = [one | {"detected": detected(one, lenders, rng)} for one in sketches]
        told = _told(imitated, joints, outline)
        for count, values in read(told, _measures(sketches), _told(photos[half::2], joints, outline), _VIEWS).items():
            found.setdefault(count, np.zeros((len(photos), *values.shape[1:])))[half::2] = values
    return found


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
    lines = [f"| read from | photos | {' | '.join(_READ)} |", f"| --- | --- |{' --- |' * len(_READ)}"]
    for name, read_by in found.items():
        for count in _VIEWS:
            of_all = _r2(read_by[count], truth)
            lines.append(f"| {name} | {count} | {' | '.join(f'{value:.2f}' for value in of_all)} |")
    rng = np.random.default_rng(0)
    chosen = [rng.integers(len(truth), size=len(truth)) for _ in range(_RESAMPLES)]
    lines.append("")
    for count in (_VIEWS[0], _VIEWS[-1]):
        spread = np.std([_r2(found[_MAIN][count][who], truth[who]) for who in chosen], axis=0)
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


def _r2(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(outputs,) share of the variance among people that is read, over all groups of photos."""
    return 1 - ((found - truth[:, None]) ** 2).mean((0, 1)) / truth.var(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--sketches", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("views"))
    main(**vars(parser.parse_args()))
