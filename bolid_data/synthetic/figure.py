"""A person in a look and a pose, as one mesh in the world."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bolid_data.synthetic.accessories import accessories
from bolid_data.synthetic.body import Floats, body_model
from bolid_data.synthetic.fields import face_parts
from bolid_data.synthetic.furniture import WOOD, furniture
from bolid_data.synthetic.garments import dress
from bolid_data.synthetic.hair import hair, hair_mask
from bolid_data.synthetic.handheld import GLASS, phone
from bolid_data.synthetic.looks import Look
from bolid_data.synthetic.materials import Material, materials_of
from bolid_data.synthetic.mesh import Mesh, join, used
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


def build_figure(person: Person, look: Look, pose: Pose, yaw: float, place: tuple[float, float] = (0.0, 0.0)) -> Figure:
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
    held = phone(standing, len(materials) + 1)
    if held is not None:
        meshes.append(replace(held, vertices=(held.vertices @ heading.T + shift).astype(np.float32)))
    seat = furniture(standing, heading, shift, len(materials))
    if seat is not None:
        meshes.append(seat)
    materials += [WOOD, GLASS]
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
