"""A dataset whose measurements a test writes down itself, as the models would."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bolid_data.curate import judge, near_duplicates
from bolid_data.dataset import Dataset
from bolid_data.manifest import Filter
from bolid_data.records import ListedPerson, Measurements, Model, Sighting, StoredPhoto

POSE, FACE, WATERMARK, HASH, QUALITY = (
    Model(f"{name}@1", name, name, "{}", "MIT") for name in ("pose", "face", "wm", "hash", "quality")
)
MODELS = judge.ModelIds(POSE.id, FACE.id, WATERMARK.id, HASH.id, QUALITY.id)
GOOD = {"sharpness": 500.0, "brightness": 0.5, "colourfulness": 40.0}
LENIENT = Filter(min_photos_per_person=1)
CAPTIONER = Model("captioner@1", "captioner", "", "{}", "MIT")
STANDING = [[100.0 + i, 200.0 + i, 0.9] for i in range(17)]


def jpeg(seed: int, width: int = 1200, height: int = 1400, image_format: str = "JPEG", **save: Any) -> bytes:
    """A smooth picture that differs from those of other seeds."""
    rough = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(rough).resize((width, height)).save(out, image_format, **save)
    return out.getvalue()


def view(framing: str = "full", facing: str = "front") -> list[list[float]]:
    """Keypoints of a person 1000 pixels high who is seen so."""
    heights = [60, 50, 50, 60, 60, 200, 200, 340, 340, 470, 470, 500, 500, 730, 730, 950, 950]
    last = {"full": 1000, "knees_up": 800, "bust": 480}[framing]
    # A person's left is the picture's right for who faces the camera.
    half = {"front": 90, "back": -90, "side": 15}[facing]
    hidden = {"front": set(), "back": {0, 1, 2}, "side": {2, 4}}[facing]
    return [
        [500.0 + (half if i % 2 else -half) * (i > 0), float(y), 0.9 if y < last and i not in hidden else 0.1]
        for i, y in enumerate(heights)
    ]


class World:
    def __init__(self, root: Path) -> None:
        self.dataset = Dataset(root)
        self.dataset.catalog.create()
        self._count = 0

    def photo(
        self,
        person: str = "anna",
        width: int = 1200,
        height: int = 1400,
        people: tuple[float, ...] = (0.9,),
        faces: tuple[float, ...] = (0.9,),
        watermark: float = 0.0,
        phash: int | None = None,
        visible: int = 17,
        data: bytes | None = None,
        measured: bool = True,
        areas: tuple[float, ...] = (),
        posters: int = 0,
        keypoints: list[list[float]] | None = None,
        **quality: float,
    ) -> str:
        """Adds a photo with what the models saw on it; returns its sha256."""
        self._count += 1
        data = data or f"photo {self._count}".encode()
        sha256 = hashlib.sha256(data).hexdigest()
        file = self.dataset.root / f"u{self._count}"
        file.write_bytes(data)
        image_format = "PNG" if data.startswith(b"\x89PNG") else "JPEG"
        self.dataset.store.add(file, sha256, image_format.lower().replace("jpeg", "jpg"))
        file.unlink()
        url = f"https://a.example/{person}/{self._count}.jpg"
        self.dataset.catalog.sightings.record(
            [ListedPerson(person, person.title(), f"https://a.example/{person}/", 99)],
            [StoredPhoto(sha256, image_format, width, height, len(data))],
            [Sighting(url, person, f"{url}.html", "stored", sha256, 200)],
        )
        if measured:
            keypoints = keypoints or [[x, y, c if i < visible else 0.1] for i, (x, y, c) in enumerate(STANDING)]
            sides = [(areas[i] if i < len(areas) else 1.0) ** 0.5 * 500 for i in range(9)]
            detections = [
                {"sha256": sha256, "kind": kind, "score": score, "box": [0.0, 0.0, side, side], "keypoints": points}
                for kind, scores, points in (("person", people, keypoints), ("face", faces, None))
                for score, side in zip(scores, sides, strict=False)
            ]
            detections += [
                {"sha256": sha256, "kind": "face", "score": 0.9, "box": [900.0, 0.0, 1400.0, 500.0], "keypoints": None}
            ] * posters
            hashed = {"sha256": sha256, "phash": self._distinct() if phash is None else phash}
            rows: list[tuple[Model, dict[str, list[dict[str, Any]]]]] = [
                (POSE, {"detections": [row for row in detections if row["kind"] == "person"]}),
                (FACE, {"detections": [row for row in detections if row["kind"] == "face"]}),
                (WATERMARK, {"watermarks": [{"sha256": sha256, "probability": watermark}]}),
                (HASH, {"hashes": [hashed]}),
                (QUALITY, {"qualities": [{"sha256": sha256} | GOOD | quality]}),
            ]
            self.dataset.catalog.measurements.record_measurements(
                [Measurements(m, [sha256], table) for m, table in rows], {}
            )
        return sha256

    def judge(self, thresholds: Filter = LENIENT) -> dict[str, Any]:
        """Judges all as `bolid filter` does once the models are done."""
        near_duplicates.find(self.dataset.catalog, HASH.id)
        return judge.judge(self.dataset.catalog, thresholds, MODELS)

    def verdicts(self) -> dict[str, list[str]]:
        with self.dataset.catalog.open(read_only=True) as con:
            rows = con.execute("SELECT sha256, reasons, kept FROM verdicts").fetchall()
        assert all(kept == (not reasons) for _, reasons, kept in rows)
        return {sha256: reasons for sha256, reasons, _ in rows}

    def _distinct(self) -> int:
        return int.from_bytes(hashlib.sha256(str(self._count).encode()).digest()[:8])
