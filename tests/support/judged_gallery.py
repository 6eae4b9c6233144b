"""Verdicts on a drawn gallery, beside what is true of every file of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from bolid_data import manifest
from bolid_data.collect.run import scrape
from bolid_data.curate.run import filter_photos
from bolid_data.dataset import Dataset
from bolid_data.gallery import draw_gallery, serve_gallery

MANIFEST = """
name = "accuracy"
[source]
kind = "theplace"
base_url = "{}"
min_photos = 1
delay = 0.0
[filter]
min_photos_per_person = 1
"""


@dataclass(frozen=True)
class Judged:
    """One file of the gallery: what is true of it, the reasons it got, and its keypoints' errors as shares of the
    person's height."""

    truth: dict[str, Any]
    reasons: list[str]
    errors: list[float]

    @property
    def right(self) -> bool:
        """Out for its own reason; or in, where there is none (a reason that `may` be given is right as well)."""
        wanted, given = self.truth["reason"], set(self.reasons)
        return wanted in given if wanted else given <= set(self.truth["may"])


def judge_gallery(people: int, photos: int, seed: int, work: Path) -> list[Judged]:
    folder = draw_gallery(people, photos, seed)
    dataset = Dataset(work / "data")
    with serve_gallery(folder) as site:
        (work / "m.toml").write_text(MANIFEST.format(site.base_url))
        loaded = manifest.load(work / "m.toml")
        scrape(loaded, dataset)
    filter_photos(loaded, dataset)
    with dataset.catalog.open(read_only=True) as con:
        verdicts = {(person, sha): reasons for person, sha, reasons in con.execute(
            "SELECT person, sha256, reasons FROM verdicts").fetchall()}  # fmt: skip
        sightings = con.execute("SELECT url, person, sha256, reason FROM sightings").fetchall()
        detected = dict(con.execute(
            """SELECT sha256, keypoints FROM detections WHERE kind = 'person' AND score >= 0.5
               QUALIFY row_number() OVER (PARTITION BY sha256 ORDER BY score DESC) = 1""").fetchall())  # fmt: skip
    by_file = {urlsplit(url).path.lstrip("/"): (person, sha256, reason) for url, person, sha256, reason in sightings}
    result = []
    for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines():
        truth = json.loads(line)
        person, sha256, reason = by_file[truth["file"]]
        reasons = verdicts[person, sha256] if sha256 else [reason]
        result.append(Judged(truth, reasons, _errors(truth["keypoints"], detected.get(sha256))))
    return result


def _errors(true: list[list[float]] | None, found: list[list[float]] | None) -> list[float]:
    """Distances of keypoints both visible and found (confidence ≥ 0.5); the unit is the height of the drawn body
    from the eyes to the ankles, 1.12 times it being about the person's height."""
    if true is None or found is None:
        return []
    drawn, detected = np.array(true), np.array(found)
    height = 1.12 * (drawn[15:17, 1].mean() - drawn[1:3, 1].mean())
    both = (drawn[:, 2] > 0) & (detected[:, 2] >= 0.5)
    return list(np.hypot(*(drawn[both, :2] - detected[both, :2]).T) / height)
