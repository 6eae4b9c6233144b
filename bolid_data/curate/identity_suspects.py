"""Where faces and names disagree: two names that look like one person, and one name that looks like two people. Only
for the model that the limits were measured with; nothing is decided by them."""

from typing import Any

import numpy as np

from bolid_data.catalog import Catalog
from bolid_data.curate.likeness_groups import alike, group, group_means
from bolid_data.progress import note

ONE_PERSON = 0.96
"""Cosine of the means of two people from which they may be one."""

GROUPED = 0.94
"""Cosine from which photos of a person are grouped."""

TWO_PEOPLE = 0.9
"""Cosine of the means of two groups below which they may be two people."""

_MIN_PHOTOS, _MIN_SHARE = 2, 0.1  # photos of the smaller group; fewer are odd ones out
_NAMED = 10  # in the notes


def find(catalog: Catalog, model_id: str) -> dict[str, list[dict[str, Any]]]:
    """The suspects by the embeddings of a model: `one_person`, pairs of people with their `likeness`, the most alike
    first; and `two_people`, people with the `photos` of a second group and its likeness to the first."""
    people, means, two_people = catalog.embeddings.people(model_id), [], []
    for person in people:  # one person's vectors at a time
        embedded = catalog.embeddings.embeddings(person, model_id)
        vectors = np.array([vector for _, vector in embedded])
        means.append(group_means(vectors, np.zeros(len(vectors), dtype=int))[0])
        if (second := _second_person(vectors)) is not None:
            chosen, likeness = second
            photos = [sha256 for (sha256, _), is_chosen in zip(embedded, chosen, strict=True) if is_chosen]
            two_people.append({"person": person, "photos": photos, "likeness": round(likeness, 4)})
    pairs = alike(np.array(means), ONE_PERSON)
    one_person = [{"people": [people[a], people[b]], "likeness": round(cosine, 4)} for a, b, cosine in pairs]
    return {"one_person": one_person, "two_people": two_people}


def describe(suspects: dict[str, list[dict[str, Any]]]) -> None:
    """Notes the first suspects."""
    lines = [
        f"{' and '.join(row['people'])} look like one person ({row['likeness']:.2f})" for row in suspects["one_person"]
    ] + [
        f"{row['person']} looks like two people: {len(row['photos'])} photos, such as {row['photos'][0][:12]}, are of "
        f"another ({row['likeness']:.2f})"
        for row in suspects["two_people"]
    ]
    for line in lines[:_NAMED]:
        note(f"filter: {line}")
    if len(lines) > _NAMED:
        note(f"filter: {len(lines) - _NAMED} more suspects; --json lists all")


def _second_person(vectors: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Which vectors (n,) are of a second person, and how alike that one is to the first; None if there is none."""
    labels = group(vectors, GROUPED)
    counts = np.bincount(labels)
    large = np.flatnonzero(counts >= max(_MIN_PHOTOS, _MIN_SHARE * len(vectors)))
    if len(large) < 2:
        return None
    means = group_means(vectors, labels)
    cosines = means[large[1:]] @ means[large[0]]
    other = int(cosines.argmin())
    return (labels == large[1 + other], float(cosines[other])) if cosines[other] < TWO_PEOPLE else None
