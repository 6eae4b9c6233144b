"""A site's mark: what to look for, where, and at which size."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from bolid_data.curate.site_marks.frames import WIDTH, Anchor, Size, Unit

STRONGEST = 0.35
"""A pixel of a mark counts from this share of the longest gradient on."""

LEVELS = 127
"""Gradients are stored as whole numbers up to this, so that a mark's hash does not depend on the last digit."""


@dataclass(frozen=True, eq=False)
class Mark:
    """The compressed gradients that photos of a host share, as `template`: int8 (h, w, 2).

    `place` is the upper left corner of the template relative to the `anchor` of a photo, in pixels of the photo scaled
    by `scale` or, if the unit is `width`, to WIDTH.
    """

    template: np.ndarray
    unit: Unit
    anchor: Anchor | None  # None: the mark is at another place on every photo
    place: tuple[int, int]
    scale: float
    longest: int  # of the photos that the mark was estimated from, once scaled: most often
    photos: int  # that show it, in the sample

    @cached_property
    def weighted(self) -> "Weighted":
        return strongest(self.template.astype(np.float32) / LEVELS)

    @property
    def config(self) -> dict[str, Any]:
        """All of the mark but its template."""
        return {
            "unit": self.unit,
            "anchor": self.anchor and list(self.anchor),
            "place": list(self.place),
            "scale": round(self.scale, 6),
            "longest": self.longest,
            "size": [self.template.shape[1], self.template.shape[0]],
            "photos": self.photos,
        }

    @property
    def sha256(self) -> str:
        settings = json.dumps(self.config, sort_keys=True)
        return hashlib.sha256(settings.encode() + self.template.tobytes()).hexdigest()

    def picture(self) -> Image.Image:
        """The mark as an image (L) for people: dark where its edges are."""
        lengths = np.hypot(*np.moveaxis(self.template.astype(np.float32), -1, 0))
        return Image.fromarray((255 * (1 - lengths / max(1.0, lengths.max()))).astype(np.uint8))

    def scales(self, size: Size) -> list[float]:
        """The factors by which a photo of this size may have to be scaled for the mark to have its template's size:
        as the site prints it, or after the whole photo was resized."""
        usual = WIDTH / size[0] if self.unit == "width" else self.scale
        factors: list[float] = []
        for factor in (usual, WIDTH / size[0] if self.unit == "width" else self.longest / max(size)):
            if factor <= 2 and all(abs(factor / other - 1) > 0.004 for other in factors):
                factors.append(factor)
        return factors


Weighted = tuple[np.ndarray, np.ndarray]
"""The strongest gradients (h, w, 2) of a template, and as weights their lengths (h, w); elsewhere both are 0."""


def strongest(template: np.ndarray) -> Weighted:
    lengths = np.hypot(template[..., 0], template[..., 1])
    strong = lengths >= STRONGEST * lengths.max()
    return template * strong[..., None], lengths * strong


def from_field(field: np.ndarray) -> np.ndarray:
    """A field of compressed gradients (h, w, 2) as a template."""
    return np.rint(np.clip(field, -1, 1) * LEVELS).astype(np.int8)


def restore(config: dict[str, Any], template: bytes) -> Mark:
    """The mark with this `config` and the bytes of its template."""
    width, height = config["size"]
    return Mark(
        template=np.frombuffer(template, np.int8).reshape(height, width, 2),
        unit=config["unit"],
        anchor=config["anchor"] and (config["anchor"][0], config["anchor"][1]),
        place=(config["place"][0], config["place"][1]),
        scale=config["scale"],
        longest=config["longest"],
        photos=config["photos"],
    )
