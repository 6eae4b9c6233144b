"""Identity similarity: how close each photo's embedding is to those of its person's other photos."""

import numpy as np

from bolid_data.catalog import Catalog
from bolid_data.progress import bar


def update(catalog: Catalog, model_id: str) -> None:
    """Updates the similarities of all people whose embedded photos have changed."""
    with bar() as progress:
        for person in progress.track(catalog.embeddings.people_to_compare(model_id), description="identity similarity"):
            embeddings = catalog.embeddings.embeddings(person, model_id)
            vectors = np.array([vector for _, vector in embeddings]).reshape(len(embeddings), -1)
            similarities = [round(float(similarity), 4) for similarity in similarity_to_others(vectors)]
            catalog.embeddings.record_similarities(
                person, model_id, list(zip([sha256 for sha256, _ in embeddings], similarities, strict=True))
            )


def similarity_to_others(vectors: np.ndarray) -> np.ndarray:
    """Cosine similarity (n,) of each unit vector (n, d) with the mean of the others; 1 for a single vector."""
    others = vectors.sum(0) - vectors
    norms = np.linalg.norm(others, axis=1)
    return np.where(norms > 1e-9, (vectors * others).sum(1) / np.maximum(norms, 1e-9), 1.0)
