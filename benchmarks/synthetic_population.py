"""`python -m benchmarks.synthetic_population [--people 4000] [--photos 1000] [--out FILE]`: made-up adults beside
measured ones, and whether clothes, pose or place give the body away. It prints the tables of
`results/synthetic_population.md`.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bolid_data.synthetic.people import Person, draw_person
from bolid_data.synthetic.photo import Photo, take_photo
from bolid_data.synthetic.pieces import SURFACES
from small_world.view_features import of_joints, of_mask

_SEED = 2032
_SIZE = (96, 128)
_WORN = [SURFACES.index(name) for name in ("top", "bottom", "shoes", "accessory")]
_SHADES = 3  # per channel of a histogram
_UNSAID = {"build", "hair"}  # of the body itself
_FOLDS, _RIDGE, _RESAMPLES = 10, 1.0, 1000
_SEXES = ("man", "woman")


@dataclass(frozen=True)
class Row:
    """One person on one photo."""

    sex: str
    stature: float
    bmi: float
    colours: np.ndarray
    words: frozenset[str]
    body: np.ndarray  # what the joints and the silhouette tell


def main(people: int, photos: int, out: Path | None) -> None:
    lines = [*_measures(people), "", *_leaks([_row(index) for index in range(photos)])]
    print(text := "\n".join(lines))
    if out:
        out.write_text(f"{text}\n", encoding="utf-8")


def _measures(count: int) -> list[str]:
    people = [draw_person(_SEED, index) for index in range(count)]
    lines = [
        "| drawn | stature, cm: mean (SD) | 5 %, 25 %, 75 %, 95 % | BMI: 25 %, 50 %, 75 % | waist, cm: mean (SD) |"
    ]
    lines.append("| --- | --- | --- | --- | --- |")
    for sex in _SEXES:
        stature, bmi, waist = (_column(people, sex, name) for name in ("stature", "bmi", "waist_girth"))
        tall = ", ".join(f"{value:.1f}" for value in np.percentile(stature * 100, (5, 25, 75, 95)))
        heavy = ", ".join(f"{value:.1f}" for value in np.percentile(bmi, (25, 50, 75)))
        lines.append(
            f"| {len(stature)} {'men' if sex == 'man' else 'women'} | {stature.mean() * 100:.1f} "
            f"({stature.std() * 100:.1f}) | {tall} | {heavy} | {waist.mean() * 100:.1f} ({waist.std() * 100:.1f}) |"
        )
    return lines


def _column(people: list[Person], sex: str, name: str) -> np.ndarray:
    return np.array([getattr(person.measures, name) for person in people if person.sex == sex])


def _row(index: int) -> Row:
    person = draw_person(_SEED + 1, index)
    taken = take_photo([person], (_SEED + 1, index), _SIZE)
    words = asdict(taken.truth.people[0].description)
    return Row(
        sex=person.sex,
        stature=person.measures.stature,
        bmi=person.measures.bmi,
        colours=np.concatenate([*_colours(taken)]),
        words=frozenset(f"{name} {word}" for name, word in words.items() if name not in _UNSAID),
        body=_body(taken),
    )


def _colours(taken: Photo) -> Iterator[np.ndarray]:
    """Mean and histogram of each kind of clothes; not their size, which is the body's."""
    for surface in _WORN:
        pixels = taken.image[taken.truth.surfaces == surface] / 256
        bins = (pixels * _SHADES).astype(int) @ [1, _SHADES, _SHADES**2]
        yield np.bincount(bins, minlength=_SHADES**3) / max(len(pixels), 1)
        yield pixels.sum(0) / max(len(pixels), 1)


def _body(taken: Photo) -> np.ndarray:
    """What does tell the body, to see that the test can: visible joints, and widths of the silhouette between them."""
    joints = taken.truth.people[0].keypoints
    return np.concatenate([of_joints(joints), of_mask(joints, taken.truth.mask)])


def _leaks(rows: list[Row]) -> list[str]:
    vocabulary = sorted(set().union(*(row.words for row in rows)))
    known = {
        "colours of the clothes": np.array([row.colours for row in rows]),
        "words: garments, colours, pose, side, framing, place": np.array(
            [[word in row.words for word in vocabulary] for row in rows], float
        ),
        "for comparison, joints and silhouette": np.array([row.body for row in rows]),
    }
    sex = np.array([row.sex for row in rows])
    lines = [f"| from one of {len(rows)} photos of as many people | BMI | stature |", "| --- | --- | --- |"]
    for name, features in known.items():
        cells = [_cell(features, np.array([getattr(row, of) for row in rows]), sex) for of in ("bmi", "stature")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cell(features: np.ndarray, measure: np.ndarray, sex: np.ndarray) -> str:
    """AUC of "above the median of the sex", mean of both sexes, and its 95 % interval over resampled people."""
    rng = np.random.default_rng(0)
    parts = []
    for one in _SEXES:
        above = measure[sex == one] > np.median(measure[sex == one])
        parts.append((_scores(features[sex == one], above, rng), above))
    drawn = []
    for _ in range(_RESAMPLES):
        chosen = [rng.integers(len(above), size=len(above)) for _, above in parts]
        drawn.append(np.mean([_auc(s[i], above[i]) for (s, above), i in zip(parts, chosen, strict=True)]))
    low, high = np.percentile(drawn, (2.5, 97.5))
    return f"{np.mean([_auc(*part) for part in parts]):.2f} ({low:.2f} to {high:.2f})"


def _scores(features: np.ndarray, above: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What ridge regression says of people it has not seen; folds hold both kinds equally."""
    order = rng.permutation(len(above))
    order = order[np.argsort(above[order], kind="stable")]
    fold_of = np.empty(len(above), int)
    fold_of[order] = np.arange(len(above)) % _FOLDS
    scores = np.zeros(len(above))
    for fold in range(_FOLDS):
        train = fold_of != fold
        centre, spread = features[train].mean(0), features[train].std(0) + 1e-6
        scaled = ((features - centre) / spread).clip(-5, 5)
        known, target = scaled[train], above[train] - above[train].mean()
        gram = known.T @ known + _RIDGE * train.sum() * np.eye(known.shape[1])
        scores[~train] = scaled[~train] @ np.linalg.solve(gram, known.T @ target)
    return scores


def _auc(scores: np.ndarray, above: np.ndarray) -> float:
    ranks = np.searchsorted(np.sort(scores), scores, "left") + np.searchsorted(np.sort(scores), scores, "right")
    return float((ranks[above].mean() - ranks[~above].mean()) / (2 * len(scores)) + 0.5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    main(**vars(parser.parse_args()))
