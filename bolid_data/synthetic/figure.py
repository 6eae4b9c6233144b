"""A person in a look and a pose, as one mesh in the world."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bolid_data.synthetic.accessories import accessories
from bolid_data.synthetic.body import Floats, body_model
from bolid_data.synthetic.fields import PARTS, face_parts, fields
from bolid_data.synthetic.garments import dress
from bolid_data.synthetic.hair import hair, hair_mask
from bolid_data.synthetic.looks import Look
from bolid_data.synthetic.materials import Material, materials_of
from bolid_data.synthetic.mesh import Mesh, join, used
from bolid_data.synthetic.noise import look_up, tile
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.pieces import SURFACES
from bolid_data.synthetic.pose import Pose
from bolid_data.synthetic.stand import Stand, stand
from bolid_data.synthetic.turns import about


@dataclass(frozen=True)
class Figure:
    """A posed, dressed person."""

    person: Person
    look: Look
    stand: Stand
    mesh: Mesh
    materials: list[Material]
    joints: Floats  # (17, 3) world


@dataclass(frozen=True)
class _Worn:
    """All pieces of a look as one mesh at rest, and the body's faces that stay visible."""

    rest: Floats
    skin: Floats
    faces: np.ndarray
    texture: Floats
    materials: np.ndarray
    parts: np.ndarray
    surfaces: np.ndarray
    body_faces: np.ndarray  # (K, 3) among the vertices that are kept
    body_kept: np.ndarray  # (K,) which faces of the body
    body_vertices: np.ndarray  # which vertices of the body
    names: list[str]


def figure(person: Person, look: Look, pose: Pose, yaw: float, place: tuple[float, float] = (0.0, 0.0)) -> Figure:
    """Puts a person on the ground at `place`, turned by `yaw` degrees: 0 faces the camera, 90 the picture's right."""
    if pose.stance == "leaning" and (1 if pose.side else -1) * np.sin(np.radians(yaw)) < -0.2:
        pose = replace(pose, side=1 - pose.side, tilt=-pose.tilt)  # the pillar must not stand before the camera
    standing = stand(person, pose)
    worn = _worn(person, _sat_on(look) if pose.stance == "sitting" else look)
    body = body_model()
    clothes = standing.skinned(worn.rest, worn.skin)
    heading = about("z", yaw)
    everything = [standing.vertices, clothes]
    ground = min(float(np.percentile(v[:, 2], 0.1)) for v in everything)
    shift = np.array([*place, -ground], np.float32)
    body_vertices, clothes = ((v @ heading.T + shift).astype(np.float32) for v in everything)
    parts, eyes = face_parts()[worn.body_kept], body.face_parts[worn.body_kept] > 0
    meshes = [
        Mesh(
            body_vertices[worn.body_vertices], worn.body_faces, body.template[worn.body_vertices],
            np.where(eyes, worn.names.index("eyes"), worn.names.index("skin")), parts,
            np.where(eyes, SURFACES.index("eyes"), SURFACES.index("skin")),
        ),
        Mesh(clothes, worn.faces, worn.texture, worn.materials, worn.parts, worn.surfaces),
    ]  # fmt: skip
    found = materials_of(person, look)
    materials = [found[name] for name in worn.names]
    seat = _furniture(standing, look, heading, shift, len(materials))
    if seat is not None:
        meshes.append(seat)
    materials.append(Material(_wood, 0.05, 20))
    joints = standing.joints @ heading.T + shift
    return Figure(person, look, standing, join(meshes), materials, joints.astype(np.float32))


def _sat_on(look: Look) -> Look:
    """The look with skirts that lie along the thighs."""
    tops = tuple(replace(top, flare=min(top.flare, 0.01)) for top in look.tops)
    return replace(look, tops=tops, bottom=look.bottom and replace(look.bottom, flare=min(look.bottom.flare, 0.01)))


@lru_cache(maxsize=16)
def _worn(person: Person, look: Look) -> _Worn:
    body = body_model()
    pieces, visible = dress(person, look)
    under_hat = look.hat != "none"
    pieces = [*pieces, *hair(person, under_hat), *accessories(person, look)]
    hidden = hair_mask(person)
    kept = np.flatnonzero(visible & ~hidden)
    seen = used(body.faces[kept], len(body.template))
    names = [*dict.fromkeys(["skin", "eyes", *(piece.material for piece in pieces)])]
    offsets = np.cumsum([0, *(len(piece.rest) for piece in pieces)])

    def per_face(value: object) -> np.ndarray:
        return np.concatenate([np.broadcast_to(value(piece), len(piece.faces)) for piece in pieces])  # type: ignore[operator]

    return _Worn(
        np.concatenate([piece.rest for piece in pieces]).astype(np.float32),
        np.concatenate([piece.skin for piece in pieces]).astype(np.float32),
        np.concatenate([piece.faces + offset for piece, offset in zip(pieces, offsets, strict=False)]),
        np.concatenate([piece.texture for piece in pieces]).astype(np.float32),
        per_face(lambda piece: names.index(piece.material)),
        per_face(lambda piece: piece.parts),
        per_face(lambda piece: SURFACES.index(piece.surface)),
        (np.cumsum(seen) - 1)[body.faces[kept]],
        kept,
        np.flatnonzero(seen),
        names,
    )


def _furniture(standing: Stand, look: Look, heading: Floats, shift: Floats, material: int) -> Mesh | None:
    """A seat below who sits, a pillar beside who leans."""
    body, pose = body_model(), standing.pose
    rng = np.random.default_rng((pose.seed, 9))
    if pose.stance == "sitting":
        hips = standing.vertices[(body.template[:, 2] > -0.12) & (body.template[:, 2] < 0.1) & (fields().arm < 0.1)]
        top = hips[:, 2].min() + 0.004
        root = standing.posed.heads[0]
        boxes = [((root[0], root[1] + 0.03, top / 2), (0.22, 0.24, top / 2))]
        if rng.random() < 0.5:
            boxes = [((root[0], root[1] + 0.03, top - 0.03), (0.22, 0.24, 0.03))]
            boxes += [((root[0] + x, root[1] + 0.03 + y, top / 2 - 0.03), (0.02, 0.02, top / 2 - 0.03))
                      for x in (-0.19, 0.19) for y in (-0.2, 0.2)]  # fmt: skip
            if rng.random() < 0.6:
                boxes.append(((root[0], root[1] + 0.28, top + 0.18), (0.22, 0.02, 0.2)))
    elif pose.stance == "leaning":
        sign = 1.0 if pose.side else -1.0
        high = standing.vertices[standing.vertices[:, 2] > 1.0]
        edge = (high[:, 0] * sign).max()
        boxes = [((sign * (edge + 0.21), standing.vertices[:, 1].mean() + 0.05, 1.2), (0.2, 0.2, 1.2))]
    else:
        return None
    mesh = boxes_mesh(boxes, material)
    vertices = mesh.vertices @ heading.T + shift * [1, 1, 0] + np.array([0, 0, shift[2] * (pose.stance == "sitting")])
    return Mesh(vertices.astype(np.float32), mesh.faces, mesh.texture, mesh.materials, mesh.parts, mesh.surfaces)


def _wood(at: Floats, size: float) -> Floats:
    shade = 1 + 0.12 * look_up(tile(), at[:, 0] * 3 + at[:, 1] * 2, at[:, 2] * 0.25)
    return np.array([0.23, 0.17, 0.12]) * shade[:, None]


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
