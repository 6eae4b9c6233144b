"""Places: ground, walls and what stands around, by name; the person stands at the origin, the camera looks along +y."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from bolid_data.synthetic import textures
from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.boxes import boxes_mesh
from bolid_data.synthetic.mesh import Mesh, join
from bolid_data.synthetic.pieces import grid_faces, outwards
from bolid_data.synthetic.textures import Paint
from bolid_data.synthetic.turns import about

PLACES = ("studio", "room", "garden", "sea", "street")
OUTDOORS = frozenset({"garden", "sea", "street"})
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """Where a photo is taken."""

    name: str
    mesh: Mesh
    paints: list[Paint]
    sky: Callable[[Floats], Floats]
    """(N, 3) linear light from directions (N, 3) in which nothing stands."""


@dataclass
class _Builder:
    rng: np.random.Generator
    meshes: list[Mesh] = field(default_factory=list)
    paints: list[Paint] = field(default_factory=list)

    def add(self, mesh: Mesh, paint: Paint) -> None:
        self.paints.append(paint)
        kinds = np.full(len(mesh.faces), len(self.paints) - 1)
        self.meshes.append(Mesh(mesh.vertices, mesh.faces, mesh.texture, kinds, mesh.parts, mesh.surfaces))

    def box(self, centre: Vector, half: Vector, paint: Paint) -> None:
        self.add(boxes_mesh([(centre, half)], 0), paint)

    def ball(self, centre: Vector, half: Vector, paint: Paint, rough: float = 0.0) -> None:
        polar, around = np.linspace(0, np.pi, 14), np.linspace(0, 2 * np.pi, 22, endpoint=False)
        unit = np.stack([np.outer(np.sin(polar), np.cos(around)), np.outer(np.sin(polar), np.sin(around)),
                         np.outer(np.cos(polar), np.ones(22))], -1).reshape(-1, 3)  # fmt: skip
        lumps = 1 + rough * self.rng.normal(size=(len(unit), 1))
        self._smooth(unit * lumps * half + np.array(centre), grid_faces(14, 22, closed=True), paint)

    def column(
        self, x: float, y: float, low: float, high: float, radius: float, paint: Paint, taper: float = 1.0
    ) -> None:
        angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        ring = np.stack([np.cos(angles), np.sin(angles), np.zeros(14)], 1)
        points = np.concatenate([ring * radius + [x, y, low], ring * radius * taper + [x, y, high]])
        self._smooth(points, grid_faces(2, 14, closed=True)[:, ::-1], paint)

    def _smooth(self, points: Floats, faces: np.ndarray, paint: Paint) -> None:
        faces = outwards(points, faces)
        none = np.zeros(len(faces), np.int64)
        self.add(Mesh(points.astype(np.float32), faces, points.astype(np.float32), none, none, none), paint)

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def colour(self, low: float = 0.25, high: float = 0.9, grey: float = 0.6) -> Vector:
        """A random colour, `grey` of the way to grey; sRGB."""
        value = self.rng.uniform(low, high)
        r, g, b = np.clip(value + (self.rng.uniform(low, high, 3) - value) * (1 - grey), 0, 1)
        return float(r), float(g), float(b)


def build_place(rng: np.random.Generator, name: str | None = None) -> Place:
    """A random place, of one kind if named; turned a little around the person."""
    name = name or str(rng.choice(PLACES, p=(0.14, 0.26, 0.22, 0.13, 0.25)))
    builder = _Builder(rng)
    sky = {"studio": _studio, "room": _room, "garden": _garden, "sea": _sea, "street": _street}[name](builder)
    mesh = join(builder.meshes)
    turn = about("z", float(rng.normal(0, 9 if name != "studio" else 0)))
    assert mesh.normals is not None
    vertices, normals = ((values @ turn.T).astype(np.float32) for values in (mesh.vertices, mesh.normals))
    mesh = replace(mesh, vertices=vertices, normals=normals)
    return Place(name, mesh, builder.paints, sky)


def _studio(b: _Builder) -> Callable[[Floats], Floats]:
    """A paper backdrop that runs from the wall over the floor."""
    colour = b.colour(0.3, 0.85, grey=0.82)
    depth, bend = b.uniform(1.3, 2.4), np.linspace(0, np.pi / 2, 12)
    profile = [(-7.0, 0.0), *((depth - 0.7 + 0.7 * np.sin(a), 0.7 - 0.7 * np.cos(a)) for a in bend), (depth, 5.0)]
    points = np.array([[x, y, z] for y, z in profile for x in (-7, 7)], np.float32)
    b._smooth(points, grid_faces(len(profile), 2, closed=False)[:, ::-1], textures.paper(colour))
    light = textures.linear(colour) * 0.8
    return lambda d: np.broadcast_to(light, d.shape)


def _room(b: _Builder) -> Callable[[Floats], Floats]:
    back, left, right, high = b.uniform(0.9, 3.2), -b.uniform(1.8, 3.4), b.uniform(1.8, 3.4), b.uniform(2.4, 3.0)
    floors = (
        textures.planks(b.colour(0.25, 0.7, 0.4), b.uniform(0.09, 0.2)),
        textures.tiles(b.colour(0.4, 0.85, 0.8), b.uniform(0.25, 0.6)),
        textures.carpet(b.colour(0.25, 0.75, 0.55)),
    )
    b.box((0, back - 5, -0.05), (8, 5.1, 0.05), floors[int(b.rng.integers(3))])
    wall = textures.wall(
        b.colour(0.45, 0.92, 0.65),
        b.colour(0.4, 0.9, 0.6),
        str(b.rng.choice(["plain", "plain", "stripes", "bricks", "panels"])),
    )
    b.box((0, back + 0.05, high / 2), (8, 0.05, high / 2), wall)
    b.box((left - 0.05, back - 5, high / 2), (0.05, 5, high / 2), wall)
    b.box((right + 0.05, back - 5, high / 2), (0.05, 5, high / 2), wall)
    b.box((0, back - 5, high + 0.05), (8, 5, 0.05), textures.plain((0.92, 0.91, 0.89)))
    b.box((0, back - 0.008, 0.05), (8, 0.008, 0.05), textures.plain(b.colour(0.6, 0.95, 0.9)))
    if b.rng.random() < 0.45:
        x, w = b.uniform(-1.6, 1.6), b.uniform(0.4, 0.8)
        b.box((x, back - 0.01, 1.5), (w + 0.07, 0.02, 0.67), textures.plain((0.9, 0.9, 0.88)))
        b.box((x, back - 0.02, 1.5), (w, 0.02, 0.6), textures.window(b.colour(0.75, 1.0, 0.7), w))
    else:
        for _ in range(int(b.rng.integers(1, 4))):
            x, z, w, h = b.uniform(-1.9, 1.9), b.uniform(1.35, 1.85), b.uniform(0.15, 0.42), b.uniform(0.15, 0.36)
            b.box((x, back - 0.012, z), (w + 0.025, 0.012, h + 0.025), textures.plain(b.colour(0.1, 0.5, 0.7)))
            b.box(
                (x, back - 0.02, z),
                (w, 0.012, h),
                textures.picture(b.colour(), b.colour(), b.colour(), int(b.rng.integers(1000))),
            )
    for _ in range(int(b.rng.integers(1, 4))):
        _furnish(b, back)
    return lambda d: np.broadcast_to(np.array([0.5, 0.5, 0.5], np.float32), d.shape)


def _furnish(b: _Builder, back: float) -> None:
    """One thing along the back wall."""
    x = b.uniform(0.7, 1.9) * (1 if b.rng.random() < 0.5 else -1)
    kind = int(b.rng.integers(5))
    if kind == 0:  # a sofa
        cloth = textures.carpet(b.colour(0.25, 0.75, 0.45))
        b.box((x, back - 0.45, 0.22), (0.85, 0.4, 0.2), cloth)
        b.box((x, back - 0.12, 0.6), (0.85, 0.1, 0.25), cloth)
        for sign in (-1, 1):
            b.box((x + sign * 0.9, back - 0.45, 0.34), (0.09, 0.42, 0.3), cloth)
    elif kind == 1:  # shelves with books
        wide, high = b.uniform(0.35, 0.7), b.uniform(1.3, 2.1)
        b.box(
            (x, back - 0.16, high / 2),
            (wide, 0.14, high / 2),
            textures.shelf(b.colour(0.2, 0.7, 0.5), int(b.rng.integers(1000))),
        )
    elif kind == 2:  # a plant
        b.column(x, back - 0.4, 0, 0.32, 0.15, textures.plain(b.colour(0.3, 0.8, 0.4)), 1.25)
        leaves = textures.leaves((0.18, 0.36, 0.14))
        for _ in range(7):
            b.ball(
                (x + b.uniform(-0.22, 0.22), back - 0.4 + b.uniform(-0.15, 0.15), b.uniform(0.45, 1.15)),
                (0.16, 0.14, 0.15),
                leaves,
                0.12,
            )
    elif kind == 3:  # a sideboard with a lamp
        b.box((x, back - 0.25, 0.38), (0.6, 0.22, 0.38), textures.planks(b.colour(0.2, 0.6, 0.35), 0.3))
        b.column(x + 0.25, back - 0.25, 0.76, 1.0, 0.03, textures.plain((0.3, 0.28, 0.25)))
        b.column(x + 0.25, back - 0.25, 1.0, 1.22, 0.16, textures.glow((1.0, 0.86, 0.62)), 0.65)
    else:  # a door
        b.box((x, back - 0.01, 1.02), (0.45, 0.03, 1.02), textures.planks(b.colour(0.35, 0.9, 0.5), 0.45))


def _garden(b: _Builder) -> Callable[[Floats], Floats]:
    b.box(
        (0, 0, -0.05),
        (80, 80, 0.05),
        textures.grass((b.uniform(0.22, 0.36), b.uniform(0.38, 0.5), b.uniform(0.12, 0.2))),
    )
    if b.rng.random() < 0.5:
        b.box(
            (b.uniform(-2, 2), 0, -0.04), (b.uniform(0.5, 1.1), 60, 0.045), textures.gravel(b.colour(0.5, 0.75, 0.75))
        )
    far = b.uniform(4, 11)
    kind = int(b.rng.integers(3))
    if kind == 0:
        b.box((0, far, b.uniform(0.7, 1.3)), (40, 0.5, 1.3), textures.leaves((0.16, b.uniform(0.26, 0.36), 0.12)))
    elif kind == 1:
        b.box((0, far, 0.75), (40, 0.04, 0.75), textures.planks(b.colour(0.3, 0.8, 0.5), 0.14, upright=True))
    else:
        wall = textures.wall(b.colour(0.5, 0.9, 0.6), b.colour(0.5, 0.9, 0.6), str(b.rng.choice(["plain", "bricks"])))
        x = b.uniform(-4, 4)
        b.box((x, far + 3, 2.6), (5, 2, 2.6), wall)
        for k in (-2.8, 0.2, 2.6):
            b.box((x + k, far + 0.98, 1.7), (0.55, 0.05, 0.75), textures.window((0.5, 0.6, 0.7), 0.55, glows=False))
    for _ in range(int(b.rng.integers(3, 8))):
        x, y = b.uniform(-7, 7), b.uniform(2.5, 14)
        green = textures.leaves((b.uniform(0.14, 0.34), b.uniform(0.28, 0.44), b.uniform(0.08, 0.18)))
        if b.rng.random() < 0.55:
            high = b.uniform(1.6, 2.8)
            b.column(x, y, 0, high + 0.4, b.uniform(0.09, 0.2), textures.bark(), 0.75)
            for _ in range(6):
                b.ball(
                    (x + b.uniform(-0.9, 0.9), y + b.uniform(-0.9, 0.9), high + b.uniform(0.2, 1.9)),
                    (0.95, 0.95, 0.8),
                    green,
                    0.09,
                )
        else:
            for _ in range(4):
                b.ball(
                    (x + b.uniform(-0.5, 0.5), y + b.uniform(-0.4, 0.4), b.uniform(0.25, 0.6)),
                    (0.5, 0.45, 0.4),
                    green,
                    0.09,
                )
    return textures.sky(b.rng)


def _sea(b: _Builder) -> Callable[[Floats], Floats]:
    shore = b.uniform(3, 9)
    b.box((0, shore - 40, -0.05), (120, 40, 0.05), textures.sand(b.colour(0.68, 0.85, 0.8), shore))
    b.box(
        (0, shore + 290, -0.12),
        (900, 290, 0.05),
        textures.water((b.uniform(0.10, 0.22), b.uniform(0.32, 0.45), b.uniform(0.42, 0.56))),
    )
    for _ in range(int(b.rng.integers(0, 4))):
        size = b.uniform(0.25, 0.8)
        b.ball(
            (b.uniform(-6, 6), b.uniform(2.0, shore + 2), 0),
            (size, size * 0.8, size * 0.6),
            textures.gravel(b.colour(0.3, 0.5, 0.85)),
            0.06,
        )
    if b.rng.random() < 0.45:
        x, y = b.uniform(1.4, 3.4) * (1 if b.rng.random() < 0.5 else -1), b.uniform(1.5, 4)
        b.column(x, y, 0, 2.1, 0.025, textures.plain((0.9, 0.9, 0.88)))
        b.column(x, y, 1.75, 2.2, 1.1, textures.segments(b.colour(0.2, 0.9, 0.1), (0.92, 0.92, 0.9)), 0.05)
    if b.rng.random() < 0.4:
        x, y = b.uniform(-30, 30), shore + b.uniform(40, 90)
        b.box((x, y, 0.5), (3.5, 1.2, 0.6), textures.plain(b.colour(0.2, 0.95, 0.3)))
        b.box((x, y, 5), (1.4, 0.03, 4), textures.plain((0.93, 0.93, 0.9)))
    return textures.sky(b.rng)


def _street(b: _Builder) -> Callable[[Floats], Floats]:
    b.box((0, 0, -0.05), (60, 80, 0.05), textures.tiles(b.colour(0.42, 0.66, 0.9), b.uniform(0.3, 0.8)))
    kind = int(b.rng.integers(3))
    if kind < 2:  # a facade across, near or beyond a road
        far = b.uniform(1.4, 3.5) if kind == 0 else b.uniform(8, 13)
        x = -30.0
        while x < 30:
            wide = b.uniform(4, 9)
            b.box(
                (x + wide / 2, far + 3, 5),
                (wide / 2, 3, b.uniform(4, 8)),
                textures.facade(
                    b.colour(0.4, 0.88, 0.6), int(b.rng.integers(1000)), str(b.rng.choice(["plain", "bricks", "plain"]))
                ),
            )
            x += wide
        if kind == 1:
            b.box((0, (far + 2) / 2 + 1.5, -0.03), (60, (far - 5) / 2 + 0.5, 0.032), textures.asphalt())
            for _ in range(int(b.rng.integers(1, 4))):
                _car(b, b.uniform(-8, 8), far - b.uniform(1.8, 3.0))
    else:  # along a street
        for sign in (-1, 1):
            y = -6.0
            while y < 50:
                deep = b.uniform(5, 10)
                b.box(
                    (sign * (b.uniform(3.2, 4.2) + 4), y + deep / 2, 5),
                    (4, deep / 2, b.uniform(4, 8)),
                    textures.facade(
                        b.colour(0.4, 0.88, 0.6),
                        int(b.rng.integers(1000)),
                        str(b.rng.choice(["plain", "bricks"])),
                        axis=1,
                    ),
                )
                y += deep
        _car(b, b.uniform(-2.2, 2.2), b.uniform(6, 14), along=True)
    for _ in range(int(b.rng.integers(0, 3))):
        x = b.uniform(1.3, 3.2) * (1 if b.rng.random() < 0.5 else -1)
        b.column(x, b.uniform(0.9, 3), 0, 4.2, 0.06, textures.plain((0.2, 0.22, 0.22)))
    if b.rng.random() < 0.35:
        x, y = b.uniform(1.5, 3) * (1 if b.rng.random() < 0.5 else -1), b.uniform(1.2, 2.5)
        b.column(x, y, 0, 2.6, 0.1, textures.bark(), 0.8)
        for _ in range(6):
            b.ball(
                (x + b.uniform(-0.7, 0.7), y + b.uniform(-0.6, 0.6), b.uniform(2.4, 3.7)),
                (0.75, 0.75, 0.6),
                textures.leaves((0.22, 0.36, 0.12)),
                0.09,
            )
    return textures.sky(b.rng)


def _car(b: _Builder, x: float, y: float, along: bool = False) -> None:
    colour = textures.plain(b.colour(0.1, 0.85, 0.35))
    half = (0.85, 2.1) if along else (2.1, 0.85)
    b.box((x, y, 0.55), (half[0], half[1], 0.28), colour)
    b.ball((x, y, 0.85), (half[0] * 0.66, half[1] * 0.66, 0.58), textures.plain((0.12, 0.14, 0.16)))
    for sign in (-1, 1):
        wheel = (x + (0.8 * sign if along else 1.3 * sign), y - (1.3 if along else 0.8), 0.32)
        b.ball(wheel, (0.12 if along else 0.32, 0.32 if along else 0.12, 0.32), textures.plain((0.06, 0.06, 0.06)))
