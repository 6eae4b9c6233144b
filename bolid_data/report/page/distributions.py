"""How what was measured is distributed, beside the thresholds that it is compared with."""

import math
from typing import Any

from bolid_data.report.page import charts
from bolid_data.report.page.material import Histogram, Material, Section

_FACTS = {
    "width": ("Width", "pixels"), "height": ("Height", "pixels"), "aspect": ("Width ÷ height", ""),
    "people": ("People", "on a photo, without bystanders"), "faces": ("Faces", "that count"),
    "other_faces": ("Faces without a body", ""), "site_mark": ("Site mark", "correlation with the host's mark"),
    "watermark": ("Watermark", "probability, where nothing is known of the host"),
    "watermark_unmarked": ("Watermark", "probability, on hosts whose photos share no mark"),
    "keypoints": ("Keypoints", "of 17, certain enough"), "tilt": ("Tilt", "degrees from upright"),
    "sharpness": ("Sharpness", ""), "brightness": ("Brightness", "mean, 0 to 1"),
    "colourfulness": ("Colourfulness", ""),
    "likeness": ("Identity similarity", "to the person's other photos"),
    "between": ("Distance to another person's photo", "bits, of pairs at most 10 apart"),
    "distance": ("Distance to a better photo", "bits, of pairs at most 10 apart"),
}  # fmt: skip
"""What a fact is called, and its unit."""


def distributions(material: Material) -> Section | None:
    if not material.overview or not material.overview.histograms:
        return None
    return Section("distributions", "Thresholds", {"charts": [_chart(shown) for shown in material.overview.histograms]})


def _chart(histogram: Histogram) -> dict[str, Any]:
    title, unit = _FACTS.get(histogram.fact, (histogram.fact, ""))
    high = histogram.low + histogram.step * len(histogram.bins)
    excluded, limits = [], []
    for side in histogram.sides:
        if side.limit is None:
            continue
        # Of whole numbers, a bin holds those from its low edge on: what is more than the limit begins at the next.
        edge = side.limit + 1 if histogram.whole and side.op != "<" else side.limit
        limits.append(edge)
        excluded.append((edge, math.inf) if side.op == ">" else (-math.inf, edge))
    clipped = [(max(begin, histogram.low), min(end, high)) for begin, end in excluded]
    sides = [
        {"threshold": side.threshold, "op": _OPS[side.op], "limit": side.limit, "out": side.out}
        for side in histogram.sides
    ]
    span = f"from {charts.number(histogram.lowest)} to {charts.number(histogram.highest)}"
    return {
        "title": title, "unit": unit, "fact": histogram.fact, "sides": sides, "measured": histogram.measured,
        "lowest": histogram.lowest, "highest": histogram.highest,
        "svg": charts.histogram(
            histogram.bins, histogram.low, histogram.step, clipped, limits,
            f"{title}: {histogram.measured} photos {span}",
            centred=histogram.whole and histogram.step == 1,
        ),
    }  # fmt: skip


_OPS = {"<": "<", ">": ">", "<=": "≤"}
