"""Clothes of a look as pieces: layers cut along the body, lofted skirts and coats, shoes, and which skin is left."""

from functools import lru_cache

import numpy as np

from bolid_data.synthetic.body import Floats, body_model
from bolid_data.synthetic.drape import flare_of
from bolid_data.synthetic.fields import PARTS, fields
from bolid_data.synthetic.looks import Look, Top
from bolid_data.synthetic.mesh import Cut, cut
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.pieces import Piece, grid_faces, layer, outwards

WAIST = 0.235
"""Where trousers and skirts begin."""
_HIDDEN = 0.022
"""How far under a garment skin still exists, so that none shows at its edges when it moves; metres."""
_SHOE_TOP = {"shoes": -0.735, "trainers": -0.725, "boots": -0.58}
_HEM_ROUNDING = 0.012
_NECKS = {"crew": 0.0, "v": 0.0, "scoop": -0.03, "high": 0.06}
_ANGLES = 56


def dress(person: Person, look: Look) -> tuple[list[Piece], np.ndarray]:
    """The pieces of a look on a person at rest, and the faces (F,) bool of the body that stay visible."""
    body, field = body_model(), fields()
    covered = np.ones(len(body.template), np.float32)
    pieces = []
    for top in look.tops:
        inside = top_field(top)
        flare = flare_of(top.loose)
        pieces.append(
            layer(person, _cut_top(top), top_offset(top), top.smooth, top.material, "top", loose=3, flare=flare)
        )
        if top.collar:
            pieces.append(layer(person, _cut_collar(), 0.006 + top.thickness * 1.3, 2, top.material, "top"))
        if top.front == 0:  # an open jacket covers nothing by itself
            covered = np.minimum(covered, inside)
        if top.skirt is not None:
            pieces.append(_skirt(person, top.skirt, top.thickness + 0.012, top.flare, top.material, "top", look.seed))
            covered = np.minimum(covered, _below_waist(top.skirt))
    bottom = look.bottom
    if bottom is not None and bottom.kind == "skirt":
        pieces.append(
            _skirt(
                person, bottom.hem, 0.022 + look.tops[-1].thickness, bottom.flare, bottom.material, "bottom", look.seed
            )
        )
        covered = np.minimum(covered, _below_waist(bottom.hem))
    elif bottom is not None:
        inside = bottom_field(bottom.hem)
        pieces.append(
            layer(person, _cut_bottom(bottom.hem), _bottom_offset(bottom.width), 4, bottom.material, "bottom", loose=2)
        )
        covered = np.minimum(covered, inside)
    pieces += _shoes(person, look)
    covered = np.minimum(covered, _shoe_field(look.shoes.kind))
    hidden_vertices = covered < -_HIDDEN
    return pieces, field.render & ~hidden_vertices[body.faces].all(1)


def _below_waist(hem: float) -> Floats:
    """(V,) negative where a skirt hides the body."""
    z = body_model().template[:, 2]
    return np.where(fields().arm < 0.5, np.maximum(hem + 0.04 - z, z - WAIST), 1.0).astype(np.float32)


def top_field(top: Top) -> Floats:
    """(V,) negative where a top covers the body."""
    body, field = body_model(), fields()
    x, y, z = body.template.T
    arms = (field.along_arm - top.sleeve) * 0.27
    if top.sleeve <= 0:  # cut where the arm begins, over the shoulder
        arms = np.abs(x) - 0.148 - np.clip(0.58 - z, 0, 0.1) * 0.25
        arms = np.where((z > 0.42) | (field.arm > 0.3), arms, -1.0)
    lower = np.where(field.arm > 0.5, -1.0, top.hem - z)
    reach = np.hypot(x, (y + 0.012) * 0.9)
    plane = z - (0.652 + _NECKS[top.neck] + y * 0.57)
    radius = 0.092 if top.neck == "scoop" else 0.074
    neck = _rounded(plane, radius - reach) if top.neck != "high" else plane
    nape = _rounded(plane - 0.02, 2 * (z - 0.655), 0.066 - np.abs(x))
    neck = np.maximum(-_rounded(-neck, -nape), z - 0.715)
    if top.neck == "v":
        vee = np.minimum((z - 0.515) * 0.42 - np.abs(x), -(y + 0.01))
        neck = np.maximum(neck, vee)
    opening = top.front - np.abs(x) if top.front > 0 else np.full(len(x), -1.0)
    opening = np.where((y < -0.02 - 0.2 * np.clip(z - 0.55, 0, 1)) & (field.arm < 0.5), opening, -1.0)
    return np.maximum.reduce([arms, lower, neck, opening]).astype(np.float32)


def _rounded(*fields: Floats) -> Floats:
    """The least of fields at each vertex, rounded where two are within about a centimetre: hems have no corners."""
    return -_HEM_ROUNDING * np.logaddexp.reduce([-field / _HEM_ROUNDING for field in fields])


@lru_cache(maxsize=256)
def _cut_top(top: Top) -> Cut:
    return _cut(top_field(top))


@lru_cache(maxsize=4)
def _cut_collar() -> Cut:
    _, y, z = body_model().template.T
    plane = z - (0.652 + y * 0.57)
    gap = 0.02 - np.abs(body_model().template[:, 0]) + np.clip(plane, 0, 1) * 0.4
    front = np.where(y < -0.05, gap - 0.012, -1.0)
    field = np.maximum.reduce([-plane - 0.004, plane - 0.034, front])
    return _cut(np.where(fields().arm < 0.1, field, 1.0))


def _cut(field: Floats) -> Cut:
    """The part of the body's visible surface where a field is negative."""
    body = body_model()
    faces = np.flatnonzero(fields().render & (body.face_parts == 0))
    piece = cut(body.faces[faces], field.astype(np.float32))
    return Cut(piece.start, piece.end, piece.share, piece.faces, faces[piece.origin])


def top_offset(top: Top) -> Floats:
    """(V,) metres: looser towards hem and cuffs."""
    field, z = fields(), body_model().template[:, 2]
    low = np.clip((0.45 - z) / 0.4, 0, 1) * (field.arm < 0.5)
    sleeve = np.clip(field.along_arm, 0, 2) * 0.5
    cuff = np.clip(1 - np.abs(field.along_arm - top.sleeve) / 0.12, 0, 1) * (top.sleeve > 1.5)
    return (
        0.005
        + top.thickness
        + top.loose * (low + 0.45 * sleeve * (top.sleeve < 1.2) + 0.5 * sleeve)
        - 0.5 * top.loose * cuff
    )


def bottom_field(hem: float) -> Floats:
    """(V,) negative where trousers or shorts cover the body."""
    z = body_model().template[:, 2]
    return np.where(fields().arm > 0.4, 1.0, np.maximum(z - WAIST, hem - z)).astype(np.float32)


@lru_cache(maxsize=128)
def _cut_bottom(hem: float) -> Cut:
    return _cut(bottom_field(hem))


def _bottom_offset(width: float) -> Floats:
    """(V,) metres: `width` is how much looser than the leg the hem is."""
    z = body_model().template[:, 2]
    low = np.clip((0.0 - z) / 0.7, 0, 1)
    return 0.006 + 0.35 * width * np.clip((0.15 - z) / 0.2, 0, 1) + width * low


def _shoe_field(kind: str) -> Floats:
    return (body_model().template[:, 2] - _SHOE_TOP[kind]).astype(np.float32)


@lru_cache(maxsize=1)
def _cut_shaft() -> Cut:
    z = body_model().template[:, 2]
    return _cut(np.maximum(z - _SHOE_TOP["boots"], -0.745 - z))


@lru_cache(maxsize=4)
def _cut_sock() -> Cut:
    z = body_model().template[:, 2]
    return _cut(np.maximum(z + 0.665, -0.76 - z))


def _shoes(person: Person, look: Look) -> list[Piece]:
    pieces = [_shoe(person, left) for left in (True, False)]
    if look.shoes.kind == "boots":
        pieces.append(layer(person, _cut_shaft(), 0.012, 8, "shoes", "shoes"))
    if look.shoes.socks:
        pieces.append(layer(person, _cut_sock(), 0.003, 1, "socks", "shoes"))
    return pieces


_STATIONS, _AROUND = 18, 22
_SOLE = 0.02  # metres


@lru_cache(maxsize=64)
def _shoe(person: Person, left: bool) -> Piece:
    """A closed shell around a foot, from heel to toe, with a flat sole."""
    body, sign = body_model(), 1 if left else -1
    x, _, z = body.template.T
    foot = person.rest.vertices[(x * sign > 0) & (z < _SHOE_TOP["shoes"])]
    floor = foot[:, 2].min()
    ground = foot[:, :2] - foot[:, :2].mean(0)
    along = np.linalg.svd(ground, full_matrices=False)[2][0]
    along = along * -np.sign(along[1])  # to the toes
    across = np.array([-along[1], along[0]])
    place, side = foot[:, :2] @ along, foot[:, :2] @ across
    low, high = place.min() - 0.010, place.max() + 0.014
    stations = low + (high - low) * (1 - np.cos(np.linspace(0, np.pi, _STATIONS))) / 2
    angles = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], 1)
    rings, texture = [], []
    for station in stations:
        inside = np.clip(station, place.min() + 0.012, place.max() - 0.012)
        band = np.abs(place - inside) < 0.014
        section = np.stack([side[band], foot[band, 2]], 1)
        middle = (section.max(0) + section.min(0)) / 2
        radius = ((section - middle) @ directions.T).max(0) + 0.006
        end = max(
            np.clip((place.min() + 0.012 - station) / 0.022, 0, 1),
            np.clip((station - place.max() + 0.012) / 0.026, 0, 1),
        )
        radius = radius * np.sqrt(max(1 - end**2, 0.0004))
        points = middle + directions * radius[:, None]
        points[:, 1] = np.maximum(np.where(points[:, 1] < middle[1], points[:, 1] - 0.012, points[:, 1]), floor - _SOLE)
        points[points[:, 1] < floor + 0.012, 1] -= 0.010
        points[:, 1] = np.maximum(points[:, 1], floor - _SOLE)
        rings.append(np.concatenate([station * along + points[:, :1] * across, points[:, 1:]], 1))
        texture.append(np.stack([points[:, 0], np.full(_AROUND, station - high), points[:, 1] - floor], 1))
    vertices = np.concatenate(rings).astype(np.float32)
    skin = np.zeros((len(vertices), len(body.parents)), np.float32)
    skin[:, body.bone[f"foot.{'L' if left else 'R'}"]] = 1
    faces = outwards(vertices, grid_faces(_STATIONS, _AROUND, closed=True))
    parts = np.full(len(faces), PARTS.index(f"{'left' if left else 'right'} foot"))
    return Piece(vertices, skin, faces, np.concatenate(texture).astype(np.float32), "shoes", "shoes", parts)


def _skirt(person: Person, hem: float, offset: float, flare: float, material: str, surface: str, seed: int) -> Piece:
    """A tube around hips and legs from the waist to a hem at a height of the mean adult, in folds."""
    body, field = body_model(), fields()
    rest, mean = person.rest, body["heads"]
    levels = ("foot.L", "lowerleg01.L", "upperleg01.L", "spine03", "spine01")
    bones = [body.bone[name] for name in levels]
    heights = np.interp(
        np.linspace(WAIST + 0.02, hem, 30), mean[bones, 2], rest.heads[bones, 2], left=rest.heads[bones[0], 2] - 0.05
    )
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    directions = np.stack([np.sin(angles), -np.cos(angles)], 1)
    inner = (field.arm < 0.3) & (body.template[:, 2] < 0.34)
    vertices = rest.vertices[inner]
    rng = np.random.default_rng((seed, 3))
    folds = sum(np.cos(angles * n + rng.uniform(0, 6.28)) * rng.uniform(0.3, 1) for n in (5, 7, 9, 12))
    hip = rest.heads[body.bone["upperleg01.L"], 2]
    radii = np.zeros(_ANGLES)
    rings: list[tuple[Floats, Floats]] = []
    for height in heights:
        band = vertices[np.abs(vertices[:, 2] - height) < 0.025]
        middle = np.array([0.0, band[:, 1].mean()]) if len(band) else rings[-1][0]
        support = ((band[:, :2] - middle) @ directions.T).max(0) if len(band) else radii
        support = (np.roll(support, 1) + 2 * support + np.roll(support, -1)) / 4
        below = max(hip + 0.05 - height, 0)
        own = support + offset + flare * below
        radii = np.maximum(own, radii * (0.985 if below else 0.93)) if rings else own
        rings.append((middle, radii + folds * 0.007 * min(below / 0.25, 1) * (0.5 + flare * 3)))
    points = np.concatenate(
        [
            np.concatenate([middle + directions * radius[:, None], np.full((_ANGLES, 1), height)], 1)
            for (middle, radius), height in zip(rings, heights, strict=True)
        ]
    ).astype(np.float32)
    faces = outwards(points, grid_faces(len(heights), _ANGLES, closed=True))
    texture = np.stack(
        [np.tile(np.sin(angles) * 0.17, len(heights)), np.tile(-np.cos(angles) * 0.17, len(heights)),
         np.repeat(np.linspace(WAIST, hem, len(heights)), _ANGLES)], 1
    )  # fmt: skip
    parts = np.where(points[faces[:, 0], 2] > hip - 0.05, PARTS.index("hips"), 0)
    knee = rest.heads[body.bone["lowerleg01.L"], 2]
    for side, sign in (("left", 1), ("right", -1)):
        here = (parts == 0) & (points[faces[:, 0], 0] * sign >= 0)
        parts[here] = np.where(
            points[faces[here, 0], 2] > knee, PARTS.index(f"{side} thigh"), PARTS.index(f"{side} shin")
        )
    return Piece(points, _skirt_skin(points, hip, knee), faces, texture.astype(np.float32), material, surface, parts)


def _skirt_skin(points: Floats, hip: float, knee: float) -> Floats:
    """(N, B) the hips carry a skirt's top, the legs of both sides what is below, with a blend in the middle."""
    body = body_model()
    skin = np.zeros((len(points), len(body.parents)), np.float32)
    trunk = np.clip((points[:, 2] - (hip - 0.12)) / 0.2, 0, 1)
    left = np.clip(points[:, 0] / 0.22 + 0.5, 0, 1)
    left = left * left * (3 - 2 * left)
    shin = np.clip((knee - points[:, 2]) / 0.2, 0, 1) * 0.6
    for end, share in (("L", left), ("R", 1 - left)):
        skin[:, body.bone[f"upperleg01.{end}"]] = (1 - trunk) * share * (1 - shin)
        skin[:, body.bone[f"lowerleg01.{end}"]] = (1 - trunk) * share * shin
    skin[:, 0] = trunk
    return skin
