"""Boxes as meshes."""

import numpy as np

from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.fields import PARTS
from bolid_data.synthetic.mesh import Mesh
from bolid_data.synthetic.pieces import SURFACES

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
_SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def boxes_mesh(boxes: list[tuple[tuple[float, float, float], tuple[float, float, float]]], material: int) -> Mesh:
    """Boxes by centre and half-sizes, with sharp edges."""
    vertices: list[Floats] = []
    faces: list[list[int]] = []
    for centre, half in boxes:
        for side in _SIDES:
            first = 4 * len(vertices)
            vertices.append(_CORNERS[list(side)] * half + np.array(centre))
            faces += [[first, first + 1, first + 2], [first, first + 2, first + 3]]
    points = np.concatenate(vertices).astype(np.float32)
    triangles = np.array(faces, np.int64).reshape(-1, 3)
    count = len(triangles)
    return Mesh(
        points, triangles, points, np.full(count, material), np.full(count, PARTS.index("thing")),
        np.full(count, SURFACES.index("furniture")),
    )  # fmt: skip
