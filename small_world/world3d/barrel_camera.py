"""A camera with barrel distortion."""

from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.camera import Camera


@dataclass(frozen=True)
class BarrelCamera(Camera):
    """A camera whose lens shows what is off the middle nearer to it than a pinhole does: what is seen at the radius r,
    in halves of the picture's longer side, is what a pinhole shows at r + barrel · r³."""

    barrel: float = 0.0

    def project(self, points: Floats) -> Floats:
        projected = super().project(points)
        straight = self._to_radii(projected[:, :2])
        bent = straight
        for _ in range(12):  # converges to the inverse of what `rays` does
            bent = straight / (1 + self.barrel * np.square(bent).sum(1, keepdims=True))
        return np.concatenate([self._to_pixels(bent), projected[:, 2:]], 1)

    def rays(self, x: Floats, y: Floats) -> Floats:
        bent = self._to_radii(np.stack([x, y], 1))
        straight = self._to_pixels(bent * (1 + self.barrel * np.square(bent).sum(1, keepdims=True)))
        return super().rays(straight[:, 0], straight[:, 1])

    def _to_radii(self, pixels: Floats) -> Floats:
        return (pixels - (self.width / 2, self.height / 2)) / (max(self.width, self.height) / 2)

    def _to_pixels(self, radii: Floats) -> Floats:
        return radii * (max(self.width, self.height) / 2) + (self.width / 2, self.height / 2)
