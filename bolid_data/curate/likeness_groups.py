"""Groups unit vectors by likeness: who is who among photos without names, and where names and faces disagree.

Every function works with the means of groups, so that memory grows with the photos and with the square of the people,
never with the square of the photos. Vectors are (n, d) at unit length; results do not depend on anything but them.
"""

import numpy as np

_ROUNDS = 5  # of assigning each vector to its nearest mean; few change after the second


def group(vectors: np.ndarray, likeness: float) -> np.ndarray:
    """The group (n,) of each vector, numbered by size, largest first. A vector belongs to the group whose mean is
    nearest, with a cosine of at least `likeness`; one that is near to no group makes one of its own."""
    labels = _leaders(vectors, likeness)
    for _ in range(_ROUNDS):
        labels = _merge(vectors, labels, likeness)
        means = group_means(vectors, labels)
        nearest, cosines = _nearest(vectors, means)
        alone = np.arange(len(vectors)) + len(means)
        renewed = _renumber(np.where(cosines >= likeness, nearest, alone))
        if (renewed == labels).all():
            break
        labels = renewed
    return _merge(vectors, labels, likeness)


def group_means(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean (k, d) of each group, at unit length."""
    sums = np.zeros((labels.max(initial=-1) + 1, vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)


def alike(means: np.ndarray, likeness: float) -> list[tuple[int, int, float]]:
    """Pairs of rows whose cosine is at least `likeness`, the most alike first."""
    pairs = []
    for row in range(len(means) - 1):  # a row at a time: memory does not grow with the square of the people
        cosines = means[row + 1 :] @ means[row]
        pairs += [(row, row + 1 + int(i), float(cosines[i])) for i in np.flatnonzero(cosines >= likeness)]
    return sorted(pairs, key=lambda pair: (-pair[2], pair))


def _leaders(vectors: np.ndarray, likeness: float) -> np.ndarray:
    """A first grouping, in one pass: each vector joins the nearest group so far, or begins one."""
    sums = np.empty((0, vectors.shape[1]))
    labels = np.empty(len(vectors), dtype=int)
    for index, vector in enumerate(vectors):
        cosines = sums @ vector / np.maximum(np.linalg.norm(sums, axis=1), 1e-9)
        best = int(cosines.argmax()) if len(sums) else -1
        if best >= 0 and cosines[best] >= likeness:
            sums[best] += vector
        else:
            best, sums = len(sums), np.vstack([sums, vector])
        labels[index] = best
    return labels


def _merge(vectors: np.ndarray, labels: np.ndarray, likeness: float) -> np.ndarray:
    """Joins the two groups that are most alike until no two are."""
    labels = _renumber(labels)
    while pairs := alike(group_means(vectors, labels), likeness):
        joined: set[int] = set()
        for a, b, _ in pairs:  # of pairs with a group in common the most alike; the others in the next round
            if not {a, b} & joined:
                labels = np.where(labels == b, a, labels)
                joined |= {a, b}
        labels = _renumber(labels)
    return labels


def _nearest(vectors: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cosines = np.empty(len(vectors))
    nearest = np.empty(len(vectors), dtype=int)
    for start in range(0, len(vectors), 1000):
        block = vectors[start : start + 1000] @ means.T
        nearest[start : start + 1000], cosines[start : start + 1000] = block.argmax(1), block.max(1)
    return nearest, cosines


def _renumber(labels: np.ndarray) -> np.ndarray:
    """The same groups, numbered by size, and among equal ones by their first vector."""
    names, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    numbers = np.empty(len(names), dtype=int)
    numbers[order] = np.arange(len(names))
    return numbers[np.searchsorted(names, labels)]
