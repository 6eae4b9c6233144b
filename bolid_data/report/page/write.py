"""`bolid report`: one HTML file about a dataset, which needs no script, no other file and no network."""

import os
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bolid_data.atomic_io import atomic_write
from bolid_data.dataset import Dataset
from bolid_data.manifest import Manifest
from bolid_data.paths import private_folder
from bolid_data.printable import printable
from bolid_data.report.page import charts, differences, distributions, origins, people, provenance, samples, summary
from bolid_data.report.page.material import Maker, Material, Other, Section, gather

SECTIONS: tuple[Maker, ...] = (
    summary.summary,
    differences.differences,
    people.people,
    distributions.distributions,
    samples.samples,
    samples.copies,
    origins.crawl,
    origins.site_marks,
    provenance.captions,
    provenance.models,
    provenance.settings,
    provenance.decisions,
    origins.consent,
)
"""The sections in their order. One more is a function here, and its template."""

FILE = "index.html"
_MAX_TEXT = 500
"""Characters of a caption, a name or a remark that the page has at most."""


def write_page(
    dataset: Dataset, manifest: Manifest, out: Path | None = None, other: Other | None = None
) -> dict[str, Any]:
    """Writes the page to `out`, or to `report/index.html` in the dataset's folder. It is readable by its owner alone:
    it shows people's photos. Raises UsageError where there is no catalog.

    Returns the file, its size, and the numbers of photos shown, kept and, in a comparison, gained and lost.
    """
    dataset.catalog.require()
    file = out or dataset.root / "report" / FILE
    material = gather(dataset, manifest, other)
    sections = [section for make in SECTIONS if (section := make(material))]
    html = render(material, sections)
    if out is None:
        private_folder(file.parent)
    with atomic_write(file) as partial:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(html)
    result = {
        "file": str(file), "bytes": file.stat().st_size, "pictures": material.thumbnails.made,
        "photos": material.funnel["photos"], "kept": material.funnel["kept"],
    }  # fmt: skip
    return result | ({"compared": _compared(other)} if other else {})


def render(material: Material, sections: list[Section]) -> str:
    """The page as text."""
    environment = _environment()
    parts = [
        {"id": section.id, "title": section.title, "count": section.count,
         "body": Markup(environment.get_template(f"{section.id}.html").render(section.data))}
        for section in sections
    ]  # fmt: skip
    return environment.get_template("page.html").render(
        name=material.manifest.name, written_at=summary.written_at(), version=summary.bolid_version(), sections=parts,
        other=material.other and material.other.name, left_out=material.thumbnails.left_out,
    )  # fmt: skip


def _compared(other: Other) -> dict[str, Any]:
    comparison = other.comparison
    return {
        "with": other.name, "kept": comparison.kept, "gained": comparison.gained, "lost": comparison.lost,
        "gained_by": comparison.gained_by, "lost_by": comparison.lost_by, "people": comparison.people,
        "photos": comparison.photos,
    }  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bolid_data.report.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_visible,
    )  # fmt: skip
    environment.filters |= {"number": charts.number, "size": size, "day": _day, "shown": provenance.shown}
    return environment


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "–"


def _visible(value: Any) -> Any:
    """Text of strangers, cut where it is long, and without characters that a browser would not show, or would reorder
    the page by."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(value if len(value) <= _MAX_TEXT else f"{value[:_MAX_TEXT]}…")


def size(number: int | None) -> str:
    """Bytes as a person reads them.

    >>> size(1_230), size(4_500_000)
    ('1.2 kB', '4.5 MB')
    """
    value = float(number or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
