"""How alike each photo is to the others of its person, by embeddings: the odd one out shows somebody else."""

import numpy as np

from bolid_data.catalog import Catalog
from bolid_data.progress import bar


def update(catalog: Catalog, model_id: str) -> None:
    """Writes down the likenesses of everybody whose embedded photos have changed."""
    with bar() as progress:
        for person in progress.track(catalog.embeddings.people_to_liken(model_id), description="likeness"):
            found = catalog.embeddings.embeddings(person, model_id)
            vectors = np.array([vector for _, vector in found]).reshape(len(found), -1)
            likenesses = [round(float(own), 4) for own in likeness(vectors)]
            catalog.embeddings.record_likenesses(
                person, model_id, list(zip([sha256 for sha256, _ in found], likenesses, strict=True))
            )


def likeness(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors (n, d) to the cosine (n,) of each with the mean of the others; 1 where there is no other."""
    others = vectors.sum(0) - vectors
    lengths = np.linalg.norm(others, axis=1)
    return np.where(lengths > 1e-9, (vectors * others).sum(1) / np.maximum(lengths, 1e-9), 1.0)
