"""Triangle meshes as arrays: joining, normals, smoothing, and cutting along the zero line of a field."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.body import Floats, Ints


@dataclass(frozen=True)
class Mesh:
    """Triangles with what is needed to shade them."""

    vertices: Floats  # (N, 3) metres, world
    faces: Ints  # (F, 3)
    texture: Floats  # (N, 3) where a vertex is on the mean adult at rest, or on its own object
    materials: Ints  # (F,) index into the materials of what the mesh is part of
    parts: Ints  # (F,) index into `fields.PARTS`
    surfaces: Ints  # (F,) index into `pieces.SURFACES`
    normals: Floats | None = None  # (N, 3); None: of the faces around


@dataclass(frozen=True)
class Cut:
    """Part of a mesh: its vertices lie on edges of that one, `share` of the way from `start` to `end`."""

    start: Ints  # (N,)
    end: Ints  # (N,)
    share: Floats  # (N,)
    faces: Ints  # (F, 3)
    origin: Ints  # (F,) face of the mesh that was cut

    def of(self, values: Floats) -> Floats:
        """(N, …) values at the vertices of the cut, from those (V, …) of the mesh."""
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        return np.take(values, self.start, axis=0) * (1 - share) + np.take(values, self.end, axis=0) * share


def used(faces: Ints, count: int) -> np.ndarray:
    """(count,) bool: which vertices faces have."""
    found = np.zeros(count, bool)
    found[faces.reshape(-1)] = True
    return found


def join(meshes: Sequence[Mesh]) -> Mesh:
    """All meshes as one."""
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    vertices = np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32)
    faces = np.concatenate([mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=False)])
    if any(mesh.normals is None for mesh in meshes):
        normals = vertex_normals(vertices, faces)
        for mesh, offset in zip(meshes, offsets, strict=False):
            if mesh.normals is not None:
                normals[offset : offset + len(mesh.vertices)] = mesh.normals
    else:
        normals = np.concatenate([mesh.normals for mesh in meshes if mesh.normals is not None])
    return Mesh(
        vertices,
        faces,
        np.concatenate([mesh.texture for mesh in meshes]).astype(np.float32),
        np.concatenate([mesh.materials for mesh in meshes]),
        np.concatenate([mesh.parts for mesh in meshes]),
        np.concatenate([mesh.surfaces for mesh in meshes]),
        normals,
    )


def vertex_normals(vertices: Floats, faces: Ints) -> Floats:
    """(N, 3) unit normals: of the faces around each vertex, weighted by their area."""
    corners, count = np.ascontiguousarray(faces.T), len(vertices)
    x, y, z = np.ascontiguousarray(vertices.T)
    # By axis: several times faster than rows of three.
    ax, ay, az, bx, by, bz = (
        np.take(axis, corners[end]) - np.take(axis, corners[0]) for end in (1, 2) for axis in (x, y, z)
    )
    total = np.empty((3, count))
    for axis, across in enumerate((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)):
        total[axis] = np.bincount(corners.reshape(-1), np.tile(across, 3), count)
    total /= np.maximum(np.sqrt(np.square(total).sum(0)), 1e-12)
    return np.ascontiguousarray(total.T, np.float32)


def smooth(values: Floats, neighbours: Ints, steps: int) -> Floats:
    """Values at vertices (V, …), moved half-way to the mean of the neighbours' `steps` times."""
    columns = np.ascontiguousarray(neighbours.T)
    share = np.float32(0.5 / len(columns))
    values = np.asarray(values, np.float32)
    near = np.empty_like(values)
    for _ in range(steps):
        total = np.take(values, columns[0], axis=0)
        for column in columns[1:]:
            np.take(values, column, axis=0, out=near, mode="clip")  # several times faster than an index
            total += near
        values = np.float32(0.5) * values + share * total
    return values


def cut(faces: Ints, field: Floats) -> Cut:
    """The part of a mesh where `field` (V,) is negative, with new vertices where it is zero."""
    inside = field < 0
    count = inside[faces].sum(1)
    whole = np.flatnonzero(count == 3)
    pieces: list[Ints] = [np.stack([faces[whole], faces[whole]], 2)]  # (F, 3 corners, start and end)
    origins = [whole]
    for kept in (1, 2):
        split = np.flatnonzero(count == kept)
        odd = np.argmax(inside[faces[split]] == (kept == 1), axis=1)  # the corner that is alone on its side
        a, b, c = (faces[split, (odd + turn) % 3] for turn in range(3))
        aa, bb, cc, ab, ac = (np.stack(pair, 1) for pair in ((a, a), (b, b), (c, c), (a, b), (a, c)))
        pieces += [np.stack([aa, ab, ac], 1)] if kept == 1 else [np.stack(p, 1) for p in ([ab, bb, cc], [ab, cc, ac])]
        origins += [split] * kept
    corners = np.concatenate(pieces).reshape(-1, 2)
    keys = corners[:, 0] * len(field) + corners[:, 1]
    unique, faces_ = np.unique(keys, return_inverse=True)
    start, end = unique // len(field), unique % len(field)
    difference = field[start] - field[end]
    share = np.where(start == end, 0, field[start] / np.where(difference == 0, 1, difference))
    return Cut(start, end, share.astype(np.float32), faces_.reshape(-1, 3), np.concatenate(origins))
