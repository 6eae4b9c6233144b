"""Rays: what a camera sees of figures and place, and the light on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from bolid_data.synthetic.body import Floats, Ints
from bolid_data.synthetic.camera import Camera
from bolid_data.synthetic.light import Light
from bolid_data.synthetic.materials import Material, strand_bumps
from bolid_data.synthetic.mesh import Mesh, used
from bolid_data.synthetic.noise import wave_slopes

_LIFT = 0.006  # metres by which rays start off a surface
_SOFT = 0.15  # from this softness on shadows are computed at vertices
_NEAR = 0.5  # metres within which surfaces darken each other
_TABLE = 4096  # directions among which rays choose


class Traced:
    """A mesh that rays can hit."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._scene = EmbreeScene()
        # embreex reads one number after the other, which is quickest from arrays of Python's own numbers.
        TriangleMesh(self._scene, mesh.vertices.astype(object), mesh.faces.astype(object))

    def hits(self, origins: Floats, directions: Floats) -> "Hits":
        """The first hits of rays."""
        out = self._scene.run(origins, directions, query="INTERSECT", output=True)
        rays = np.flatnonzero(out["primID"] >= 0)
        return Hits(rays, out["primID"][rays].astype(np.int64), out["u"][rays], out["v"][rays], out["tfar"][rays])

    def blocked(self, origins: Floats, directions: Floats, within: float = 1e9) -> np.ndarray:
        """(N,) bool: whether something is on a ray."""
        reach = np.full(len(origins), within, np.float32)
        start, way = (np.ascontiguousarray(values, np.float32) for values in (origins, directions))
        return self._scene.run(start, way, dists=reach, query="OCCLUDED") == 0


@dataclass(frozen=True)
class Hits:
    """Where rays hit: ray numbers, faces, barycentric coordinates, distances."""

    rays: Ints
    faces: Ints
    u: Floats
    v: Floats
    distance: Floats

    def at(self, mesh: Mesh, values: Floats) -> Floats:
        """(N, …) values at a mesh's vertices, interpolated."""
        corners = np.take(mesh.faces, self.faces, axis=0)
        shape = (-1, *[1] * (values.ndim - 1))
        result = np.take(values, corners[:, 0], axis=0)
        result *= (1 - self.u - self.v).reshape(shape)
        for corner, share in ((1, self.u), (2, self.v)):
            part = np.take(values, corners[:, corner], axis=0)
            part *= share.reshape(shape)
            result += part
        return result

    def take(self, chosen: np.ndarray) -> "Hits":
        return Hits(self.rays[chosen], self.faces[chosen], self.u[chosen], self.v[chosen], self.distance[chosen])


def unit_rows(vectors: Floats) -> Floats:
    """(N, 3) the vectors' directions."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return (vectors / np.maximum(length, 1e-9)[:, None]).astype(np.float32, copy=False)


def hemisphere(rng: np.random.Generator, normals: Floats) -> Floats:
    """(N, 3) directions around normals, more often near them (cosine-weighted)."""
    around = np.take(_sphere(), _choices(rng, len(normals)), axis=0)
    around *= np.float32(0.999)
    around += normals
    return unit_rows(around)


def towards(rng: np.random.Generator, light: Light, count: int) -> Floats:
    """(count, 3) directions to points of the light's source."""
    table = unit_rows(light.direction + np.float32(0.6 * light.softness) * _offsets())
    return np.take(table, _choices(rng, count), axis=0)


@cache
def _offsets() -> Floats:
    """(N, 3) normal values; to choose from a table is several times faster than to draw anew."""
    return np.random.default_rng(31).standard_normal((_TABLE, 3), dtype=np.float32)


@cache
def _sphere() -> Floats:
    """(N, 3) directions to all sides."""
    return unit_rows(_offsets())


def _choices(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(_TABLE, size=count, dtype=np.uint16)


@dataclass(frozen=True)
class VertexLight:
    """Per vertex: how much of the surroundings it sees, and of a soft source."""

    open: Floats
    source: Floats | None


def vertex_light(traced: Traced, faces: Ints, light: Light, rng: np.random.Generator, rays: int) -> VertexLight:
    """What the vertices of the faces in view (K,) see; others see everything."""
    mesh = traced.mesh
    hit = np.zeros(len(mesh.faces), bool)
    hit[faces] = True
    chosen = np.flatnonzero(used(mesh.faces[hit], len(mesh.vertices)))
    normals = mesh.normals[chosen]  # type: ignore[index]
    origins = np.repeat(mesh.vertices[chosen] + normals * _LIFT, rays, 0)
    around = hemisphere(rng, np.repeat(normals, rays, 0))
    free = 1 - traced.blocked(origins, around, _NEAR).reshape(-1, rays).mean(1)
    values = [free]
    if light.softness > _SOFT:
        shadow = traced.blocked(origins, towards(rng, light, len(origins)), 3.0).reshape(-1, rays).mean(1)
        values.append(1 - shadow)
    result = []
    for value in values:
        whole = np.ones(len(mesh.vertices), np.float32)
        whole[chosen] = value
        result.append(_spread(whole, mesh.faces))
    return VertexLight(result[0], result[1] if len(result) > 1 else None)


def _spread(values: Floats, faces: Ints) -> Floats:
    """Values at vertices, averaged with those of the faces around."""
    count = np.maximum(np.bincount(faces.reshape(-1), minlength=len(values)), 1)
    for _ in range(2):
        mean = values[faces].mean(1)
        values = np.bincount(faces.reshape(-1), np.repeat(mean, 3), len(values)) / count
    return values.astype(np.float32)


def shade(
    traced: Traced, materials: Sequence[Material], hits: Hits, directions: Floats, light: Light, lit: VertexLight,
    rng: np.random.Generator, focal: float,
) -> Floats:  # fmt: skip
    """(N, 3) the light that comes from hits along rays of `directions` (M, 3); `focal`: pixels."""
    mesh = traced.mesh
    view = -directions[hits.rays]
    source_at = lit.open if lit.source is None else lit.source
    packed = np.concatenate([mesh.normals, mesh.texture, mesh.vertices, lit.open[:, None], source_at[:, None]], 1)
    values = hits.at(mesh, packed)
    normals, texture, position = unit_rows(values[:, :3]), values[:, 3:6], values[:, 6:9]
    inside = np.einsum("ij,ij->i", normals, view) < -0.15  # of sleeves and skirts
    normals[inside] *= -1
    kinds = mesh.materials[hits.faces]
    albedo = np.empty_like(normals)
    wrap = np.zeros_like(normals)
    shine, gloss = np.zeros(len(kinds), np.float32), np.ones(len(kinds), np.float32)
    strands = np.zeros(len(kinds), bool)
    size = float(np.median(hits.distance)) / focal if len(hits.rays) else 1.0
    for kind in np.flatnonzero(np.bincount(kinds)).tolist():
        here = np.flatnonzero(kinds == kind)
        material = materials[kind]
        albedo[here] = material.colours(texture[here], size)
        wrap[here] = material.wrap
        shine[here], gloss[here], strands[here] = material.shine, material.gloss, material.strands
        if material.bumps:
            at = texture[here]
            at = at + np.float32(0.012) * wave_slopes(at, 30.0, 4)  # folds are not straight
            slopes = wave_slopes(at, 24.0, 1) + 0.7 * wave_slopes(at * np.array([1, 1, 0.7], np.float32), 57.0, 2)
            bent = normals[here] - np.float32(material.bumps * 0.25) * slopes
            normals[here] = unit_rows(bent)
        if material.strands:
            across = np.cross(normals[here], [0, 0, 1.0])
            bent = normals[here] + across * (0.30 * strand_bumps(texture[here]))[:, None]
            normals[here] = unit_rows(bent)
    direct = (normals @ light.direction)[:, None]
    source = values[:, 10] if lit.source is not None else _source(traced, position, normals, direct[:, 0], light, rng)
    diffuse = np.clip((direct + wrap) / (1 + wrap), 0, 1) * source[:, None]
    free = values[:, 9:10]
    free = free * (0.55 + 0.45 * free)
    # Light that bounced off the same surface keeps crevices from turning grey.
    free = free / (1 - 0.6 * albedo * (1 - free))
    result = albedo * (diffuse * light.colour + light.ambient(normals) * free)
    glossy = np.flatnonzero(shine > 0)
    if len(glossy):
        half = unit_rows(view[glossy] + light.direction)
        peak = np.einsum("ij,ij->i", normals[glossy], half)
        down: Floats = np.array([0, 0, -1.0]) - normals[glossy] * -normals[glossy][:, 2:]
        down /= np.maximum(np.linalg.norm(down, axis=1, keepdims=True), 1e-3)
        along = (down * half).sum(1)
        peak = np.where(
            strands[glossy], np.sqrt(np.maximum(1 - along * along, 0)) * (direct[glossy, 0] > 0), np.maximum(peak, 0)
        )
        bright = shine[glossy] * peak ** gloss[glossy] * (0.25 + source[glossy])
        result[glossy] += bright[:, None] * light.colour
    return result.astype(np.float32)


def _source(
    traced: Traced, position: Floats, normals: Floats, direct: Floats, light: Light, rng: np.random.Generator
) -> Floats:
    """(N,) the share of the light's source that hits see."""
    result = np.ones(len(position), np.float32)
    lit_side = np.flatnonzero(direct > -0.3)
    origins = position[lit_side] + normals[lit_side] * _LIFT
    result[lit_side] = 1 - traced.blocked(origins, towards(rng, light, len(lit_side)))
    return result


def sample_grid(camera: Camera, factor: float) -> tuple[Floats, int, int]:
    """Rays through the middles of a grid's cells, `factor` cells per pixel, and the grid's height and width."""
    height, width = round(camera.height * factor), round(camera.width * factor)
    x = (np.arange(width) + 0.5) * (camera.width / width)
    y = (np.arange(height) + 0.5) * (camera.height / height)
    across = ((x - camera.width / 2 - camera.shift[0]) / camera.focal).astype(np.float32)
    down = ((y - camera.height / 2 - camera.shift[1]) / camera.focal).astype(np.float32)
    rays = (across[:, None] * camera.axes[0])[None] + (down[:, None] * camera.axes[1] + camera.axes[2])[:, None]
    rays /= np.sqrt(1 + across**2 + down[:, None] ** 2)[:, :, None]
    return rays.reshape(-1, 3), height, width


def from_camera(camera: Camera, count: int) -> Floats:
    return np.broadcast_to(camera.place.astype(np.float32), (count, 3)).copy()


def resize(picture: Floats, width: int, height: int) -> Floats:
    """The picture at another size; smaller ones are averages."""
    if picture.shape[:2] == (height, width):
        return picture
    smaller = width < picture.shape[1]
    return np.asarray(
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC), np.float32
    )
