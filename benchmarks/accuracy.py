"""Verdicts against the truth of a gallery: `python -m benchmarks.accuracy [--seed N]`.

Draws a gallery with a new seed, scrapes and filters it, and prints the verdicts by kind of file, and how far the
keypoints are from where they were drawn.
"""

import argparse
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from tests.support.judged_gallery import Judged, judge_gallery


def _precision_and_recall(judged: list[Judged], reason: str) -> str:
    """A row of the table. A reason that a photo may have besides the expected one is neither right nor wrong."""
    expected = [(photo.truth["reason"] or "kept") == reason for photo in judged]
    actual = [reason in (photo.reasons or ["kept"]) for photo in judged]
    wrong = [
        a and not e and reason not in photo.truth["may"] for photo, e, a in zip(judged, expected, actual, strict=True)
    ]
    right = sum(e and a for e, a in zip(expected, actual, strict=True))
    precision, recall = right / max(1, right + sum(wrong)), right / max(1, sum(expected))
    return f"| {reason} | {sum(expected)} | {precision:.4f} | {recall:.4f} |"


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
