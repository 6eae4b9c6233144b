"""The second style: flat colours and ink outlines, no light and no shade."""

import cv2
import numpy as np

from small_world.flat.paint import Canvas, Colour, Pixels

_INK = np.array((0.08, 0.07, 0.10), np.float32)


class Sketch(Canvas):
    """A canvas on which every part of the figure is a flat shape with an outline."""

    def _shadow(self, box: tuple[int, int, int, int], dark: Pixels) -> None:
        pass

    def _lay(self, box: tuple[int, int, int, int], alpha: Pixels, nx: Pixels, ny: Pixels, colour: Colour,
             texture: Pixels | None) -> None:  # fmt: skip
        width = max(1, round(self.pixels.shape[0] / 110))
        kernel = np.ones((2 * width + 1,) * 2, np.uint8)
        inner = np.asarray(cv2.erode(alpha.astype(np.float32), kernel, borderValue=1), np.float32)
        self._blend(box, alpha, np.broadcast_to(_INK, (*alpha.shape, 3)))
        self._blend(box, inner, np.broadcast_to(np.array(colour, np.float32), (*alpha.shape, 3)))
