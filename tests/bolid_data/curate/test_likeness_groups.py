"""Grouping of unit vectors: clusters that are known, in any order."""

import numpy as np
import pytest

from bolid_data.curate.likeness_groups import alike, group, group_means


def cloud(people: int, photos: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around random directions, shuffled, and whose each is."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(people, 64)), photos, axis=0)
    vectors = centres + spread * rng.normal(size=centres.shape)
    order = rng.permutation(len(vectors))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[order], np.repeat(np.arange(people), photos)[
        order
    ]


def same_pairs(labels: np.ndarray) -> np.ndarray:
    return labels[:, None] == labels[None]


@pytest.mark.parametrize("seed", range(3))
def test_people_who_are_apart_are_grouped_as_they_are(seed: int) -> None:
    vectors, people = cloud(7, 9, 0.3, seed)
    labels = group(vectors, 0.7)
    assert (same_pairs(labels) == same_pairs(people)).all()


def test_groups_do_not_depend_on_the_order() -> None:
    vectors, _ = cloud(6, 8, 0.3)
    order = np.random.default_rng(1).permutation(len(vectors))
    assert (same_pairs(group(vectors[order], 0.7)) == same_pairs(group(vectors, 0.7))[order][:, order]).all()


def test_groups_are_numbered_by_size() -> None:
    vectors = np.eye(3)[[0, 1, 1, 2, 2, 2]]
    assert group(vectors, 0.5).tolist() == [2, 1, 1, 0, 0, 0]


def test_nobody_is_grouped_with_somebody_less_alike_than_asked() -> None:
    vectors, _ = cloud(5, 6, 0.8)
    labels = group(vectors, 0.95)
    own = (vectors * group_means(vectors, labels)[labels]).sum(1)
    assert own.min() >= 0.95 - 1e-9
    assert len(set(labels.tolist())) > 5
    assert alike(group_means(vectors, labels), 0.95) == []


def test_pairs_come_with_the_most_alike_first() -> None:
    means = np.array([[1, 0], [0.8, 0.6], [0.96, 0.28]])
    assert [(a, b) for a, b, _ in alike(means, 0.9)] == [(0, 2), (1, 2)]
    assert alike(means[:1], 0.0) == [] and alike(means[:0], 0.0) == []
