"""A site's own mark: each mark is a model, which measures the photos of its host."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bolid_data.catalog.site_marks import NAME
from bolid_data.curate.measurers.measurer import Photo, describe_model
from bolid_data.curate.site_marks.mark import Mark
from bolid_data.curate.site_marks.score import score
from bolid_data.records import Model
from bolid_data.weights import Weights

VERSION = 1
"""To be raised when photos get other scores; then they are measured again."""


def describe_mark(mark: Mark, host: str) -> Model:
    """The catalog's entry of a mark; its weights are its template."""
    weights = Weights(NAME, Path(), mark.sha256, "the site's own")
    return describe_model(weights, mark=mark.config, host=host, version=VERSION)


class SiteMarkMeasurer:
    """Records how strongly a photo shows a mark: the correlation, from 0 to 1."""

    def __init__(self, model: Model, mark: Mark) -> None:
        self.model = model
        self._mark = mark

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        return {
            "site_scores": [
                {"sha256": photo.sha256, "score": min(1.0, round(score(self._mark, photo.image), 4))}
                for photo in photos
            ]
        }
