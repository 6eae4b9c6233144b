"""A picture from layers: the place, out of focus behind, and the people before it, with the shadows between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.camera import Camera
from bolid_data.synthetic.figure import Figure
from bolid_data.synthetic.light import Light
from bolid_data.synthetic.mesh import Mesh, join
from bolid_data.synthetic.place import OUTDOORS, Place
from bolid_data.synthetic.render import (
    Traced,
    VertexLight,
    from_camera,
    hemisphere,
    resize,
    sample_grid,
    shade,
    towards,
    unit_rows,
    vertex_light,
)

_SAMPLES = ((900, 0.64), (500, 1.0), (96, 2.0), (0, 2.5))
"""Samples per pixel along a side, by the picture's longer side: large pictures are enlarged a little, which leaves them
about as soft as photos are; up to 1, edges are sampled five times."""


@dataclass(frozen=True)
class Film:
    light: Floats  # (H, W, 3)
    parts: np.ndarray  # (H, W) uint8
    surfaces: np.ndarray
    owners: np.ndarray  # 0 nobody, 1 the first person …


def expose(rng: np.random.Generator, figures: Sequence[Figure], place: Place, light: Light, camera: Camera) -> Film:
    longest = max(camera.width, camera.height)
    factor = next(factor for side, factor in _SAMPLES if longest >= side)
    traced = _trace(figures)
    width, height = camera.width, camera.height
    parts = np.zeros((height, width), np.uint8)
    surfaces, owners = np.zeros_like(parts), np.zeros_like(parts)
    film = _place_layer(rng, place, light, camera, traced, figures, factor)
    if traced is None:
        return Film(film, parts, surfaces, owners)
    rays, rows, columns = sample_grid(camera, factor)
    near = _around(traced.mesh, camera, rows, columns)
    hits = traced.hits(from_camera(camera, len(near)), rays[near])
    hits = replace(hits, rays=near[hits.rays])
    lit = vertex_light(traced, hits.faces, light, rng, 12 if factor <= 1 else 3)
    materials = [material for figure in figures for material in figure.materials]
    colours = np.zeros((rows * columns, 4), np.float32)
    colours[hits.rays, :3] = shade(traced, materials, hits, rays, light, lit, rng, camera.focal * factor)
    colours[hits.rays, 3] = 1
    ids = np.zeros(rows * columns, np.int64)
    ids[hits.rays] = hits.faces + 1
    grid = colours.reshape(rows, columns, 4)
    if factor <= 1:
        _refine_edges(grid, ids.reshape(rows, columns), traced, materials, camera, factor, light, lit, rng)
    ends = np.cumsum([len(figure.mesh.faces) for figure in figures])
    middle = ids.reshape(rows, columns)[_centres(rows, height)][:, _centres(columns, width)]
    seen = middle > 0
    faces = middle[seen] - 1
    parts[seen], surfaces[seen] = traced.mesh.parts[faces], traced.mesh.surfaces[faces]
    owners[seen] = np.searchsorted(ends, faces, side="right") + 1
    small = resize(grid, width, height)
    return Film(film * (1 - small[:, :, 3:]) + small[:, :, :3], parts, surfaces, owners)


def _around(mesh: Mesh, camera: Camera, rows: int, columns: int) -> np.ndarray:
    """The cells of a grid in which a mesh can be seen."""
    seen = camera.project(mesh.vertices)
    if seen[:, 2].min() < 0.1:
        return np.arange(rows * columns)
    x, y = seen[:, 0] * (columns / camera.width), seen[:, 1] * (rows / camera.height)
    left, right = max(int(x.min()), 0), min(int(x.max()) + 1, columns)
    top, bottom = max(int(y.min()), 0), min(int(y.max()) + 1, rows)
    return (np.arange(top, bottom)[:, None] * columns + np.arange(left, right)).ravel()


def _centres(cells: int, pixels: int) -> np.ndarray:
    """For each pixel the cell at its middle."""
    return ((np.arange(pixels) + 0.5) * cells / pixels).astype(np.int64)


def _trace(figures: Sequence[Figure]) -> Traced | None:
    if not figures:
        return None
    meshes, first = [], 0
    for figure in figures:
        mesh = figure.mesh
        meshes.append(
            Mesh(
                mesh.vertices, mesh.faces, mesh.texture, mesh.materials + first, mesh.parts, mesh.surfaces, mesh.normals
            )
        )
        first += len(figure.materials)
    return Traced(join(meshes))


def _refine_edges(
    grid: Floats, ids: np.ndarray, traced: Traced, materials: list, camera: Camera, factor: float,
    light: Light, lit: VertexLight, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Averages four samples where a silhouette, or a border between materials, crosses a pixel."""
    kinds = np.zeros(ids.shape, np.int32)
    seen = ids > 0
    kinds[seen] = traced.mesh.materials[ids[seen] - 1] + 1
    level = cv2.cvtColor(np.clip(np.ascontiguousarray(grid[:, :, :3]), 0, 1), cv2.COLOR_RGB2GRAY)
    edge = np.zeros(ids.shape, bool)
    for axis in (0, 1):
        change = (np.diff(kinds, axis=axis) != 0) | (np.abs(np.diff(level, axis=axis)) > 0.10)
        first, second = (slice(None, -1), slice(1, None))
        edge[(first, slice(None)) if axis == 0 else (slice(None), first)] |= change
        edge[(second, slice(None)) if axis == 0 else (slice(None), second)] |= change
    y, x = np.nonzero(edge)
    if not len(y):
        return
    offsets = np.array([(-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375)], np.float32) + 0.5
    rays = camera.rays((x + offsets[:, :1]).ravel() / factor, (y + offsets[:, 1:]).ravel() / factor)
    hits = traced.hits(from_camera(camera, len(rays)), rays)
    more = np.zeros((len(rays), 4), np.float32)
    more[hits.rays, :3] = shade(traced, materials, hits, rays, light, lit, rng, camera.focal * factor)
    more[hits.rays, 3] = 1
    grid[y, x] = 0.2 * (grid[y, x] + more.reshape(4, -1, 4).sum(0))


def _place_layer(
    rng: np.random.Generator, place: Place, light: Light, camera: Camera, figures_traced: Traced | None,
    figures: Sequence[Figure], factor: float,
) -> Floats:  # fmt: skip
    """(H, W, 3) the place without people, but with their shadows; out of focus far behind them."""
    aperture = float(rng.uniform(0.0004, 0.006))  # drawn before any ray, so that no rounding changes it
    rays, rows, columns = sample_grid(camera, max(factor / 2, 0.5))
    traced = Traced(place.mesh)
    hits = traced.hits(from_camera(camera, len(rays)), rays)
    result = np.empty_like(rays)
    missed = np.ones(len(rays), bool)
    missed[hits.rays] = False
    result[missed] = place.sky(rays[missed])
    mesh = place.mesh
    packed = np.concatenate([mesh.normals, mesh.vertices, mesh.texture], 1)
    values = hits.at(mesh, packed)
    normals, position, texture = unit_rows(values[:, :3]), values[:, 3:6], values[:, 6:]
    normals[np.einsum("ij,ij->i", normals, rays[hits.rays]) > 0] *= -1
    kinds = mesh.materials[hits.faces]
    albedo, glows = np.empty_like(normals), np.zeros(len(kinds), bool)
    for kind in np.flatnonzero(np.bincount(kinds)).tolist():
        here = np.flatnonzero(kinds == kind)
        albedo[here] = place.paints[kind].colours(texture[here], hits.distance[here])
        glows[here] = place.paints[kind].glows
    direct = np.clip(normals @ light.direction, 0, 1)
    free = np.ones(len(kinds), np.float32)
    source = np.ones(len(kinds), np.float32)
    origins = position + normals * 0.01
    if figures_traced is not None:
        near = np.flatnonzero(np.hypot(position[:, 0], position[:, 1]) < 4)
        many = 4 if light.softness > 0.15 else 2
        for _ in range(many):
            source[near] -= figures_traced.blocked(origins[near], towards(rng, light, len(near))) / many
        close = near[np.hypot(position[near, 0], position[near, 1]) < 1.3 + 0.5 * len(figures)]
        for _ in range(4):
            free[close] -= 0.2 * figures_traced.blocked(origins[close], hemisphere(rng, normals[close]), 0.8)
    if place.name in OUTDOORS:
        lit = np.flatnonzero((direct > 0) & (hits.distance < 60))
        source[lit] = np.minimum(source[lit], 1 - traced.blocked(origins[lit], towards(rng, light, len(lit))))
    for values in (free, source):  # few rays a pixel: smooth
        grid = np.ones(rows * columns, np.float32)
        grid[hits.rays] = values
        soft = cv2.GaussianBlur(grid.reshape(rows, columns), (0, 0), max(columns, rows) / 220)
        values[:] = np.asarray(soft).ravel()[hits.rays]
    lighted = albedo * ((direct * source)[:, None] * light.colour + light.ambient(normals) * free[:, None])
    result[hits.rays] = np.where(glows[:, None], albedo, lighted)
    depth = np.full(rows * columns, 1e3, np.float32)
    depth[hits.rays] = hits.distance
    focus = float(np.linalg.norm(camera.place[:2]))
    picture = _defocus(result.reshape(rows, columns, 3), depth.reshape(rows, columns), focus, aperture)
    return resize(picture, camera.width, camera.height)


def _defocus(picture: Floats, depth: Floats, focus: float, strength: float) -> Floats:
    """Blurs what lies behind the focus, the more the nearer that is."""
    sigma = strength * max(picture.shape[:2]) * min(3.0 / focus, 2.5)
    if sigma < 0.4:
        return picture
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma)
    share = np.clip((depth / focus - 1.15) / 0.8, 0, 1)[:, :, None]
    return picture * (1 - share) + blurred * share
