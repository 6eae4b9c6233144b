"""What is told of the results: rows, notes and pictures."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bolid_train.data.shard_dataset import Shards
from bolid_train.evaluate.cases import Case
from bolid_train.evaluate.compared import BASE, LORA
from bolid_train.evaluate.grid import write_grid
from bolid_train.evaluate.measuring import Yardstick
from bolid_train.evaluate.painting import to_image
from bolid_train.evaluate.results import Result, Sets
from bolid_train.evaluate.table import make_rows


def rows_of(results: Sequence[Result], sets: Sets) -> list[dict[str, Any]]:
    """The rows of the table: the sets one after another, each with the methods that were measured on it."""
    rows = []
    for of, people in sets.items():
        for result in results:
            measured = result.measured
            if of in measured.quality:
                scores = {name: values[people] for name, values in measured.scores.items()}
                rows += make_rows(result.method, result.views, of, scores, measured.quality[of], len(measured.seeds))
    return rows


def notes_of(yardstick: Yardstick, results: Sequence[Result]) -> Iterator[str]:
    """What one has to know to read the table."""
    yield "In brackets: 95 % interval over people; that of a difference is of the differences of the same people."
    yield (
        f"body_sim: 0 is a cosine of {yardstick.different:.3f}, as to photos of other people; 1 of "
        f"{yardstick.same:.3f}, as of one photo to others of the same person."
    )
    yield f"limb_error: between different people {yardstick.strangers:.1f} %, which is what a failure counts."
    if any(result.method == LORA for result in results):
        yield "lora: each for its own person; drawn one person at a time, so its seconds are of smaller batches."
    for result in results:
        if len(seeds := result.measured.seeds) > 1:
            yield (
                f"{result.method}, {_photos(result.views)}: a person's value is the mean over {len(seeds)} seeds; each "
                f"seed's own mean of body_sim is {min(seeds):.3f} to {max(seeds):.3f}."
            )


def write_pictures(
    results: Sequence[Result], cases: Sequence[Case], shown: Sequence[int], shards: Shards, path: Path
) -> None:
    """One person a row: the reference with the first prompt under it, then what each method drew for that, with the
    most photos, and without any where it can."""
    most = {result.method: result.views for result in sorted(results, key=lambda result: result.views)}
    columns = [result for result in results if result.views in (0, most[result.method])]
    titles = [one.method if one.method == BASE else f"{one.method}\n{_photos(one.views)}" for one in columns]
    rows = [
        [
            (shards.photo(cases[person].reference), cases[person].prompts[0].caption),
            *((to_image(one.pictures[person]), "") if person in one.pictures else None for one in columns),
        ]
        for person in shown
    ]
    write_grid(["reference", *titles], rows, path)


def _photos(count: int) -> str:
    return f"{count or 'no'} photo{'s' * (count > 1)}"
