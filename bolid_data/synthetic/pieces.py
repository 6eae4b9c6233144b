"""What a person wears or carries, as meshes at rest with weights of bones: layers over the body, and lofted shapes."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bolid_data.synthetic.body import Floats, Ints, body_model
from bolid_data.synthetic.drape import draped, draped_smooth
from bolid_data.synthetic.fields import PARTS, face_parts, fields
from bolid_data.synthetic.mesh import Cut, smooth, vertex_normals
from bolid_data.synthetic.people import Person

SURFACES = ("background", "skin", "eyes", "hair", "top", "bottom", "shoes", "accessory", "furniture")
"""What a pixel's surface is."""

FURNITURE = SURFACES.index("furniture")
"""What people sit or lean on: drawn with them, but no part of them."""


@dataclass(frozen=True)
class Piece:
    """A mesh of one material at rest."""

    rest: Floats  # (N, 3)
    skin: Floats  # (N, B) weights of bones
    faces: Ints  # (F, 3)
    texture: Floats  # (N, 3)
    material: str
    surface: str
    parts: Ints  # (F,) index into `PARTS`


@lru_cache(maxsize=64)
def smoothed(person: Person, steps: int) -> tuple[Floats, Floats]:
    """(V, 3) the body at rest without its details, and its normals."""
    base = smooth(person.rest.vertices, body_model().neighbours, steps)
    return base, vertex_normals(base, body_model().faces)


def layer(
    person: Person,
    piece: Cut,
    offset: Floats | float,
    steps: int,
    material: str,
    surface: str,
    loose: int = 0,
    flare: float | None = None,
) -> Piece:
    """A cut of the body, `offset` metres (at each vertex of the body) outside of it, smoothed in `steps`.

    The weights of bones of loose clothes are smoothed too, in `loose` steps. With a `flare` it hangs as `drape` has it.
    """
    body = body_model()
    if flare is None:
        inner, normals = person.rest.vertices, smoothed(person, 0)[1]
        base, soft = smoothed(person, min(steps, 10))[0], _soft_normals(person, min(steps, 8))
    else:
        inner, normals = draped(person, flare)
        base, soft = draped_smooth(person, flare, min(steps, 10))
    # Cloth bridges hollows, and lies on what stands out.
    gap = ((base - inner) * normals).sum(1)
    distance = smooth(np.maximum(offset, gap).astype(np.float32), body.neighbours, 2 if steps > 3 else 0)
    outer = inner + soft * distance[:, None]
    skin = piece.of(_smooth_skin(loose) if loose else body.skin)
    texture = fields().cloth if surface in ("top", "bottom") else body.template
    return Piece(piece.of(outer), skin, piece.faces, piece.of(texture), material, surface, _parts(piece))


@lru_cache(maxsize=64)
def _soft_normals(person: Person, steps: int) -> Floats:
    return smooth(smoothed(person, 0)[1], body_model().neighbours, steps)


@lru_cache(maxsize=4)
def _smooth_skin(steps: int) -> Floats:
    return smooth(body_model().skin, body_model().neighbours, steps)


def _parts(piece: Cut) -> Ints:
    return face_parts()[piece.origin]


@dataclass(frozen=True)
class Bound:
    """Points fixed to the mean adult's surface, so that they follow any body and pose."""

    vertices: Ints  # (N, 4) of the body
    weights: Floats  # (N, 4)
    offset: Floats  # (N, 3) from there, metres on the mean adult

    def rest(self, person: Person) -> Floats:
        """(N, 3) the points on a person at rest."""
        scale = person.measures.head / 0.237
        near = person.rest.vertices[self.vertices] * self.weights[:, :, None]
        return (near.sum(1) + self.offset * scale).astype(np.float32)

    def skin(self) -> Floats:
        """(N, B) weights of bones."""
        return np.einsum("nk,nkb->nb", self.weights, body_model().skin[self.vertices])


def bind(points: Floats, among: np.ndarray) -> Bound:
    """Fixes points (N, 3), given on the mean adult, to the nearest vertices that `among` (V,) allows."""
    template = body_model().template
    candidates = np.flatnonzero(among)
    allowed = template[candidates].astype(np.float64)
    distance = np.square(points).sum(1)[:, None] - 2 * points @ allowed.T + np.square(allowed).sum(1)
    distance = np.maximum(distance, 0)
    near = np.argpartition(distance, 4, axis=1)[:, :4]
    weight = 1 / (np.take_along_axis(distance, near, 1) + 1e-4)
    weight /= weight.sum(1, keepdims=True)
    vertices = candidates[near]
    offset = points - (template[vertices] * weight[:, :, None]).sum(1)
    return Bound(vertices, weight.astype(np.float32), offset.astype(np.float32))


def grid_faces(rows: int, columns: int, closed: bool) -> Ints:
    """(F, 3) triangles of a grid of points in row order; `closed`: the last column joins the first."""
    row, column = np.mgrid[0 : rows - 1, 0 : columns - (not closed)]
    after = (column + 1) % columns
    a, b, c, d = (r * columns + k for r, k in ((row, column), (row, after), (row + 1, after), (row + 1, column)))
    faces = np.stack([a, d, b, b, d, c], -1).reshape(-1, 3)
    return faces.astype(np.int64)


def outwards(points: Floats, faces: Ints) -> Ints:
    """The faces of a shape, all turned if most of them look to its middle."""
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    out = (a + b + c) / 3 - points.mean(0)
    return faces if float((np.cross(b - a, c - a) * out).sum()) > 0 else faces[:, ::-1]


def part(name: str, count: int) -> Ints:
    """(F,) the same part for all faces."""
    return np.full(count, PARTS.index(name))
