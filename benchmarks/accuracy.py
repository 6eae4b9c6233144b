"""Verdicts against the truth of a gallery: `python -m benchmarks.accuracy [--seed N]`.

Draws a gallery with a seed of its own, takes it through scrape and filter, and prints by kind of file what was decided,
and how far the keypoints are from where they were drawn.
"""

import argparse
import json
import tempfile
from collections import Counter, defaultdict
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
        found = dict(con.execute(
            """SELECT sha256, keypoints FROM detections WHERE kind = 'person' AND score >= 0.5
               QUALIFY row_number() OVER (PARTITION BY sha256 ORDER BY score DESC) = 1""").fetchall())  # fmt: skip
    seen = {urlsplit(url).path.lstrip("/"): (person, sha256, reason) for url, person, sha256, reason in sightings}
    result = []
    for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines():
        truth = json.loads(line)
        person, sha256, reason = seen[truth["file"]]
        reasons = verdicts[person, sha256] if sha256 else [reason]
        result.append(Judged(truth, reasons, _errors(truth["keypoints"], found.get(sha256))))
    return result


def _errors(true: list[list[float]] | None, found: list[list[float]] | None) -> list[float]:
    """Distances of keypoints both visible and found (confidence ≥ 0.5); the unit is the height of the drawn body
    from the eyes to the ankles, 1.12 times it being about the person's height."""
    if true is None or found is None:
        return []
    drawn, seen = np.array(true), np.array(found)
    height = 1.12 * (drawn[15:17, 1].mean() - drawn[1:3, 1].mean())
    both = (drawn[:, 2] > 0) & (seen[:, 2] >= 0.5)
    return list(np.hypot(*(drawn[both, :2] - seen[both, :2]).T) / height)


def _precision_and_recall(judged: list[Judged], reason: str) -> str:
    """A row of the table. A reason that a photo may have besides its own is neither right nor wrong."""
    true = [(photo.truth["reason"] or "kept") == reason for photo in judged]
    given = [reason in (photo.reasons or ["kept"]) for photo in judged]
    wrong = [g and not t and reason not in p.truth["may"] for p, t, g in zip(judged, true, given, strict=True)]
    right = sum(t and g for t, g in zip(true, given, strict=True))
    return f"| {reason} | {sum(true)} | {right / max(1, right + sum(wrong)):.4f} | {right / max(1, sum(true)):.4f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--seed", type=int, default=20261122)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        judged = judge_gallery(arguments.people, arguments.photos, arguments.seed, Path(work))
    kinds: dict[str, list[Judged]] = defaultdict(list)
    for photo in judged:
        kinds[f"{photo.truth['kind']} {photo.truth.get('strength') or ''}".strip()].append(photo)
    print("| kind | files | right | decided |\n| --- | --- | --- | --- |")
    for kind, photos in sorted(kinds.items()):
        decided = Counter(" + ".join(photo.reasons) or "kept" for photo in photos)
        words = ", ".join(f"{reasons} {count}" for reasons, count in decided.most_common())
        print(f"| {kind} | {len(photos)} | {sum(photo.right for photo in photos)} | {words} |")
    print("\n| reason | photos | precision | recall |\n| --- | --- | --- | --- |")
    for reason in sorted({str(photo.truth["reason"] or "kept") for photo in judged}):
        print(_precision_and_recall(judged, reason))
    errors = [error for photo in judged if photo.truth["kind"] == "clean" for error in photo.errors]
    print(f"\nkeypoints of clean photos: median error {100 * np.median(errors):.2f} % of the person's height", end="")
    print(f", 90 % below {100 * np.quantile(errors, 0.9):.2f} % ({len(errors)} keypoints)")
    for photo in judged:
        if not photo.right:
            print(f"wrong: {photo.truth['file']} {photo.truth['kind']}: {photo.reasons}, not {photo.truth['reason']}")


if __name__ == "__main__":
    main()
