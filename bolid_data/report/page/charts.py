"""Charts as SVG: drawn here, so that a page needs neither a script nor another file. Colours are the page's."""

import math
from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 360, 132
_LEFT, _RIGHT, _TOP, _BOTTOM = 4, 4, 8, 20


def number(value: float) -> str:
    """A number as a person would write it: 1,234, 0.25, 60.

    >>> number(1234), number(0.25), number(60.0)
    ('1,234', '0.25', '60')
    """
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if math.isfinite(value) else 0
    text = f"{value:,.{min(digits, 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def histogram(
    bins: Sequence[tuple[int, int]], low: float, step: float, excluded: Sequence[tuple[float, float]],
    limits: Sequence[float], title: str, centred: bool = False,
) -> Markup:  # fmt: skip
    """Bars of (all, kept) photos from `low` on, `step` wide. Heights are square roots, so that few photos beside many
    can be seen. `excluded` are the ranges of values that are out, and `limits` where they begin or end; `centred`
    writes each value under the middle of its bar."""
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    high, top = low + step * len(bins), math.sqrt(max(1, *(photos for photos, _ in bins)))

    def x(value: float) -> float:
        return _LEFT + width * min(1.0, max(0.0, (value - low) / (high - low)))

    def bar(index: int, photos: int, name: str) -> Markup:
        tall = height * math.sqrt(photos) / top
        left, right = x(low + index * step), x(low + (index + 1) * step)
        gap = min(1.0, (right - left) * 0.15)
        return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            name, left + gap / 2, _TOP + height - tall, right - left - gap, tall
        )

    parts = [
        Markup('<rect class="excluded" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
            x(begin), _TOP, x(end) - x(begin), height
        )
        for begin, end in excluded
        if x(end) > x(begin)
    ]
    for name, which in (("all", 0), ("kept", 1)):
        parts += [bar(index, counts[which], name) for index, counts in enumerate(bins) if counts[which]]
    parts.append(Markup('<line class="axis" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
        _LEFT, WIDTH - _RIGHT, y=_TOP + height))  # fmt: skip
    parts += [
        Markup('<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{}" y2="{}"/>').format(
            _TOP - 6, _TOP + height, x=x(at)
        )
        for at in limits
    ]
    shift = step / 2 if centred else 0.0
    for at in _ticks(low, high - (step if centred else 0), step if centred else 0):
        place = x(at + shift)
        anchor = "start" if place < 14 else "end" if place > WIDTH - 14 else "middle"
        parts.append(Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
            place, HEIGHT - 6, anchor, number(at)))  # fmt: skip
    return _svg(WIDTH, HEIGHT, parts, title)


def columns(values: Sequence[tuple[str, int]], title: str) -> Markup:
    """A column for each (label, number), with linear heights."""
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    most, each = max([1, *(value for _, value in values)]), width / max(1, len(values))
    every = max(1, math.ceil(len(values) / 10))
    parts: list[Markup] = []
    for index, (label, value) in enumerate(values):
        tall, left = height * value / most, _LEFT + index * each
        parts.append(Markup('<rect class="kept" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}: {:,}'
                            "</title></rect>").format(
            left + each * 0.08, _TOP + height - tall, each * 0.84, tall, label, value))  # fmt: skip
        if index % every == 0:
            parts.append(Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                left + each / 2, HEIGHT - 6, label))  # fmt: skip
    parts.append(Markup('<line class="axis" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
        _LEFT, WIDTH - _RIGHT, y=_TOP + height))  # fmt: skip
    return _svg(WIDTH, HEIGHT, parts, title)


def _svg(width: int, height: int, parts: Sequence[Markup], title: str) -> Markup:
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(width, height, title)
    return head + Markup("").join(parts) + Markup("</svg>")


def _ticks(low: float, high: float, least: float = 0) -> list[float]:
    """Round values between two, about five of them, at least `least` apart."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(least, next((factor * power for factor in (1, 2, 5) if factor * power >= rough), 10 * power))
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]
