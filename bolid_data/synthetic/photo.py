"""One photo: people, looks, poses, place, light and camera, drawn by seed or given; its picture and its truth."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.camera import FRAMINGS, Camera, frame_people
from bolid_data.synthetic.fields import PARTS
from bolid_data.synthetic.figure import Figure, figure
from bolid_data.synthetic.lens import Pixels, develop
from bolid_data.synthetic.light import Light, draw_light
from bolid_data.synthetic.looks import Look, draw_look
from bolid_data.synthetic.mesh import Mesh, join
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.place import OUTDOORS, Place, build_place
from bolid_data.synthetic.pose import ARMS, Pose, draw_pose
from bolid_data.synthetic.render import (
    Traced, VertexLight, from_camera, hemisphere, resize, sample_grid, shade, towards, unit_rows, vertex_light,
)  # fmt: skip
from bolid_data.synthetic.truth import Truth, tell

_SAMPLES = ((900, 0.72), (500, 1.0), (200, 2.0), (0, 3.0))
"""Samples per pixel along a side, by the picture's longer side: large pictures are enlarged a little, which leaves them
about as soft as photos are; up to 1, edges are sampled five times."""
_FRAMING = (0.42, 0.24, 0.2, 0.14)
_WIDE_ARMS = {"raised", "spread", "waving"}


@dataclass(frozen=True)
class Shot:
    """What may be fixed about a photo; the rest is drawn from its seed."""

    framing: str | None = None  # of `camera.FRAMINGS`
    yaw: float | None = None  # degrees of the main person: 0 faces the camera, 90 the picture's right
    look: Look | None = None  # of the main person
    pose: Pose | None = None
    place: str | None = None  # of `place.PLACES`
    focal: float | None = None  # millimetres of 35 mm film
    pitch: float | None = None  # degrees, positive: the camera looks down


@dataclass(frozen=True)
class Photo:
    """A finished photo."""

    image: Pixels  # (H, W, 3) sRGB
    truth: Truth
    figures: tuple[Figure, ...] = field(repr=False)


def photo(people: Sequence[Person], seed: tuple[int, ...] | int, size: tuple[int, int], shot: Shot | None = None) -> Photo:
    """A photo of people (the main one first; nobody is fine) in width × height pixels.

    The same arguments always give the same pixels, in every process.
    """
    shot = shot or Shot()
    rng, render_rng, lens_rng = np.random.default_rng(seed).spawn(3)
    framing = shot.framing or str(rng.choice(FRAMINGS, p=_FRAMING))
    place = build_place(rng, shot.place)
    light = draw_light(rng, place.name in OUTDOORS)
    figures = _figures(rng, people, shot, framing)
    camera = _camera(rng, figures, framing, size, shot)
    light_on_film = _render(render_rng, figures, place, light, camera)
    image = develop(light_on_film.light, lens_rng)
    truth = tell(figures, place.name, framing, camera, light_on_film.parts, light_on_film.surfaces, light_on_film.owners)
    return Photo(image, truth, figures)


def _yaw(rng: np.random.Generator) -> float:
    """Mostly from the front, sometimes from the side or behind."""
    if rng.random() < 0.62:
        return float(np.clip(rng.normal(0, 24), -70, 70))
    return float(rng.uniform(-180, 180))


def _figures(rng: np.random.Generator, people: Sequence[Person], shot: Shot, framing: str) -> tuple[Figure, ...]:
    figures = []
    reach = 0.0
    for index, person in enumerate(people):
        own = np.random.default_rng(rng.integers(2**63))
        yaw, look, pose = _yaw(own), draw_look(own, person.sex == "woman"), draw_pose(own)
        if index == 0:
            yaw = shot.yaw if shot.yaw is not None else yaw
            look, pose = shot.look or look, shot.pose or pose
        if len(people) > 1:  # side by side, towards the camera
            pose = draw_pose(own, "standing", str(own.choice(["down", "on hips", "folded", "clasped", "in pockets"])))
            yaw = float(own.normal(0, 14))
        elif shot.pose is None and framing in ("waist_up", "bust") and pose.arms in _WIDE_ARMS:
            pose = draw_pose(own, pose.stance if framing == "waist_up" else "standing", str(own.choice(["down", "folded", "on hips"])))
        made = figure(person, look, pose, yaw)
        if len(people) > 1:
            low, high = float(made.mesh.vertices[:, 0].min()), float(made.mesh.vertices[:, 0].max())
            made = figure(person, look, pose, yaw, (reach - low, float(own.uniform(-0.08, 0.08))))
            reach += high - low + float(own.uniform(0.03, 0.15))
        figures.append(made)
    if len(figures) > 1:  # the group stands around the origin
        return tuple(_moved(made, -reach / 2) for made in figures)
    return tuple(figures)


def _moved(made: Figure, across: float) -> Figure:
    shift = np.array([across, 0, 0], np.float32)
    mesh = made.mesh
    mesh = Mesh(mesh.vertices + shift, mesh.faces, mesh.texture, mesh.materials, mesh.parts, mesh.surfaces, mesh.normals)
    return Figure(made.person, made.look, made.stand, mesh, made.materials, made.joints + shift)


def _camera(
    rng: np.random.Generator, figures: Sequence[Figure], framing: str, size: tuple[int, int], shot: Shot
) -> Camera:
    if not figures:
        stature, width = 1.7, np.linspace(-0.3, 0.3, 5)
        points = np.array([[x, 0.0, z] for x in width for z in np.linspace(0, stature, 9)])
        return frame_people(rng, points, 0.0, True, size, "full", shot.focal, shot.pitch)
    persons = [made.mesh.vertices[np.unique(made.mesh.faces[made.mesh.surfaces < 8])] for made in figures]
    points = np.concatenate(persons)[::5]
    joints = figures[0].joints
    shoulders, hips, knees = joints[[5, 6], 2].mean(), joints[[11, 12], 2].mean(), joints[[13, 14], 2].mean()
    trunk = abs(shoulders - hips)
    if figures[0].stand.pose.stance == "sitting" and framing == "knees_up":
        knees = min(knees, hips) - 0.15
    low = {"full": 0.0, "knees_up": knees - 0.06, "waist_up": hips - 0.04, "bust": shoulders - 0.42 * trunk}[framing]
    low = float(low * rng.uniform(0.97, 1.03))
    whole = framing == "full" or len(figures) > 1
    if not whole:  # hands beside or above the head may be cut
        head = joints[[0, 1, 2, 3, 4]].mean(0)
        top = points[:, 2].max() if figures[0].stand.pose.arms in _WIDE_ARMS else head[2] + 0.16
        kept = points[points[:, 2] <= top]
        points = kept if len(kept) else points
    return frame_people(rng, points, low, whole, size, framing, shot.focal, shot.pitch)


@dataclass(frozen=True)
class _Film:
    light: Floats  # (H, W, 3)
    parts: np.ndarray  # (H, W) uint8
    surfaces: np.ndarray
    owners: np.ndarray  # 0 nobody, 1 the first person …


def _render(rng: np.random.Generator, figures: Sequence[Figure], place: Place, light: Light, camera: Camera) -> _Film:
    longest = max(camera.width, camera.height)
    factor = next(factor for side, factor in _SAMPLES if longest >= side)
    traced = _trace(figures)
    width, height = camera.width, camera.height
    parts = np.zeros((height, width), np.uint8)
    surfaces, owners = np.zeros_like(parts), np.zeros_like(parts)
    film = _place_layer(rng, place, light, camera, traced, figures, factor)
    if traced is None:
        return _Film(film, parts, surfaces, owners)
    rays, rows, columns = sample_grid(camera, factor)
    near = _around(traced.mesh, camera, rows, columns)
    hits = traced.hits(from_camera(camera, len(near)), rays[near])
    hits = replace(hits, rays=near[hits.rays])
    lit = vertex_light(traced, hits.faces, light, rng, 12 if factor <= 1 else 5)
    materials = [material for made in figures for material in made.materials]
    colours = np.zeros((rows * columns, 4), np.float32)
    colours[hits.rays, :3] = shade(traced, materials, hits, rays, light, lit, rng, camera.focal * factor)
    colours[hits.rays, 3] = 1
    ids = np.zeros(rows * columns, np.int64)
    ids[hits.rays] = hits.faces + 1
    grid = colours.reshape(rows, columns, 4)
    if factor <= 1:
        _refine_edges(grid, ids.reshape(rows, columns), traced, materials, camera, factor, light, lit, rng)
    ends = np.cumsum([len(made.mesh.faces) for made in figures])
    middle = ids.reshape(rows, columns)[_centres(rows, height)][:, _centres(columns, width)]
    seen = middle > 0
    faces = middle[seen] - 1
    parts[seen], surfaces[seen] = traced.mesh.parts[faces], traced.mesh.surfaces[faces]
    owners[seen] = np.searchsorted(ends, faces, side="right") + 1
    small = resize(grid, width, height)
    return _Film(film * (1 - small[:, :, 3:]) + small[:, :, :3], parts, surfaces, owners)


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
    for made in figures:
        mesh = made.mesh
        meshes.append(Mesh(mesh.vertices, mesh.faces, mesh.texture, mesh.materials + first, mesh.parts, mesh.surfaces, mesh.normals))
        first += len(made.materials)
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
    rays, rows, columns = sample_grid(camera, max(factor / 2, 0.5))
    traced = Traced(place.mesh)
    hits = traced.hits(from_camera(camera, len(rays)), rays)
    result = np.empty_like(rays)
    missed = np.ones(len(rays), bool)
    missed[hits.rays] = False
    result[missed] = place.sky(rays[missed])
    mesh = place.mesh
    packed = np.concatenate([mesh.normals, mesh.vertices, mesh.texture], 1)  # type: ignore[list-item]
    values = hits.at(mesh, packed)
    normals, position, texture = unit_rows(values[:, :3]), values[:, 3:6], values[:, 6:]
    normals[np.einsum("ij,ij->i", normals, rays[hits.rays]) > 0] *= -1
    kinds = mesh.materials[hits.faces]
    albedo, glows = np.empty_like(normals), np.zeros(len(kinds), bool)
    for kind in np.unique(kinds):
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
    soft = np.ones(rows * columns, np.float32)
    for values in (free, source):  # few rays a pixel: smooth
        soft[hits.rays] = values
        soft = cv2.GaussianBlur(soft.reshape(rows, columns), (0, 0), max(columns, rows) / 220).ravel()
        values[:] = soft[hits.rays]
        soft[:] = 1
    lighted = albedo * ((direct * source)[:, None] * light.colour + light.ambient(normals) * free[:, None])
    result[hits.rays] = np.where(glows[:, None], albedo, lighted)
    depth = np.full(rows * columns, 1e3, np.float32)
    depth[hits.rays] = hits.distance
    focus = float(np.linalg.norm(camera.place[:2]))
    picture = _defocus(result.reshape(rows, columns, 3), depth.reshape(rows, columns), focus, float(rng.uniform(0.0004, 0.006)))
    return resize(picture, camera.width, camera.height)


def _defocus(picture: Floats, depth: Floats, focus: float, strength: float) -> Floats:
    """Blurs what lies behind the focus, the more the nearer that is."""
    sigma = strength * max(picture.shape[:2]) * min(3.0 / focus, 2.5)
    if sigma < 0.4:
        return picture
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma)
    share = np.clip((depth / focus - 1.15) / 0.8, 0, 1)[:, :, None]
    return picture * (1 - share) + blurred * share


__all__ = ["ARMS", "PARTS", "Photo", "Shot", "photo"]
