"""What the sections of a page are made of: read once, and few photos of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from bolid_data.curate.judge.comparison import Comparison
from bolid_data.curate.judge.framing import FACINGS, FRAMINGS
from bolid_data.curate.judge.histograms import Histogram
from bolid_data.curate.judge.overview import UNSHOWN, Overview, Samples, overview
from bolid_data.curate.judge.verdicts import funnel
from bolid_data.dataset import Dataset
from bolid_data.manifest import Filter, Manifest
from bolid_data.report import show
from bolid_data.report.page.thumbnails import Thumbnails

MAX_PEOPLE = show.MAX_PEOPLE


@dataclass(frozen=True)
class Other:
    """What a dataset is compared with: its name, the verdicts, and its thresholds if they are known."""

    name: str
    comparison: Comparison
    thresholds: Filter | None = None


@dataclass(frozen=True)
class Material:
    dataset: Dataset
    manifest: Manifest
    status: dict[str, Any]
    overview: Overview | None  # None: nothing is judged yet
    funnel: dict[str, Any]
    thumbnails: Thumbnails
    other: Other | None = None

    @property
    def people(self) -> list[dict[str, Any]]:
        """The people to show: all, or those with the fewest kept photos."""
        return people_shown(self.status)

    def words(self, reason: str) -> str:
        """A reason in words, which depend on how many people a photo should show."""
        people = self.overview.thresholds.people if self.overview else self.manifest.filter.people
        return show.reason_words(reason, people)


@dataclass(frozen=True)
class Section:
    """A part of the page: its template is `<id>.html`, which gets `data`. `count` stands beside the title."""

    id: str
    title: str
    data: dict[str, Any] = field(repr=False)
    count: str = ""


Maker = Callable[[Material], Section | None]
"""Makes a section; None where there is nothing to show."""


def gather(dataset: Dataset, manifest: Manifest, other: Other | None) -> Material:
    """Reads what the sections need. The catalog is open only while each part is read."""
    status = show.status(dataset)
    judged = overview(dataset.catalog, [row["person"] for row in people_shown(status)])
    background = (judged.thresholds if judged else manifest.filter).background
    thumbnails = Thumbnails.of(dataset.store, background)
    return Material(dataset, manifest, status, judged, funnel(dataset.catalog), thumbnails, other)


def people_shown(status: dict[str, Any]) -> list[dict[str, Any]]:
    """The people to show of a status, in the order of their names."""
    people = status["people"]
    if len(people) > MAX_PEOPLE:
        people = sorted(people, key=lambda row: (row["kept"], row["person"]))[:MAX_PEOPLE]
    return list(people)


def short_name(file: str | None) -> str:
    """The last part of a photo's path or URL."""
    return PurePosixPath((file or "").partition("?")[0]).name


__all__ = [
    "FACINGS", "FRAMINGS", "MAX_PEOPLE", "UNSHOWN", "Comparison", "Filter", "Histogram", "Maker", "Material", "Other",
    "Samples", "Section", "gather", "short_name",
]  # fmt: skip
