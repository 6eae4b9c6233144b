"""Where hands go, and whether they would enter the trunk."""

from functools import cache, lru_cache

import numpy as np

from bolid_data.synthetic.body import Floats, Posed, body_model
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.pose import Pose


def target(
    posed: Posed, person: Person, pose: Pose, rng: np.random.Generator, left: bool, room: float
) -> tuple[Floats, Floats]:
    """Where a wrist goes, and to which side the elbow points; world axes of the posed body, metres."""
    body, sign = body_model(), 1.0 if left else -1.0
    bone, heads = body.bone, posed.heads
    trunk = posed.transforms[bone["spine01"], :, :3]
    pelvis = posed.transforms[0, :, :3]
    out, front, up = trunk @ [sign, 0, 0], trunk @ [0, -1, 0], trunk @ [0, 0, 1]
    shoulder = heads[bone[f"upperarm01.{'L' if left else 'R'}"]]
    length = person.measures.upper_arm + person.measures.forearm
    hip = heads[bone[f"upperleg01.{'L' if left else 'R'}"]]
    neck, chest = heads[bone["neck01"]], (heads[bone["spine01"]] + heads[bone["spine02"]]) / 2
    width = _half_width(person)
    active = (pose.side == 0) == left
    jitter = rng.normal(0, 0.012, 3)
    name = pose.arms
    if name in ("waving", "one hand on the hip", "holding a phone", "hand at the chin") and not active:
        name = "down"
    hip_side = hip + pelvis @ [sign * (width["hips"] - abs(hip[0] - heads[0][0])), 0, 0]
    down = (
        hip_side + out * (pose.looseness + room) - up * (length * 0.99 - np.linalg.norm(shoulder - hip) - 0.005) * 0.8
    )
    if name == "raised":
        return shoulder + up * length * 0.9 + out * length * (
            0.16 + abs(jitter[0]) * 8
        ) + front * 0.05, out + front * 0.3
    if name == "waving":
        return shoulder + up * length * 0.42 + out * length * 0.52 + front * 0.12 + jitter, out - up
    if name == "spread":
        return shoulder + out * length * 0.97 + up * length * rng.uniform(-0.12, 0.2) + front * 0.05, -up - front * 0.3
    if name in ("on hips", "one hand on the hip"):
        waist = heads[bone["spine04"]]
        return waist + out * (
            width["waist"] + 0.055 + room
        ) - up * 0.01 + front * 0.02 + jitter, out * 1.0 - front * 0.55
    if name == "folded":
        high = 0.0 if active else -0.045
        ahead = width["depth"] + room + (0.085 if active else 0.05)
        return chest + out * 0.005 + front * ahead + up * (high - 0.05), -up * 0.8 + out
    if name == "in pockets":
        return hip_side + out * (0.012 + room) + front * 0.035 + up * 0.045, out * 0.8 - front
    if name == "behind the back":
        return heads[bone["spine04"]] + out * 0.06 - front * (
            width["back"] + 0.06 + room
        ) - up * 0.02, out - front * 0.6
    if name == "holding a phone":
        return chest + front * (width["depth"] + 0.22 + room) + out * 0.07 + up * rng.uniform(
            -0.02, 0.1
        ), out * 0.5 - up
    if name == "hand at the chin":
        return neck + front * (0.15 + room) + out * 0.05 - up * 0.055, -up + out * 0.4 + front * 0.3
    if name == "clasped":
        return hip + out * -(abs(hip[0] - heads[0][0]) - 0.035) + front * (
            width["belly"] + 0.06 + room
        ) + up * rng.uniform(-0.03, 0.08), out - front * 0.2
    if name == "on knees":
        knee = heads[bone[f"lowerleg01.{'L' if left else 'R'}"]]
        return knee + (hip - knee) * 0.28 + np.array([0, 0, 0.09]) + out * 0.01, out - up * 0.2
    if name == "swinging":
        forward = pose.hips[1 if left else 0] / 25  # against the legs
        return down + front * forward * 0.24 + up * abs(forward) * 0.05 + out * 0.01, -front + out * 0.2
    if pose.stance == "sitting":
        return down + front * 0.16 + up * 0.13 + out * (0.03 + room), out * 0.6 - front
    return down + front * rng.uniform(0.0, 0.06) + jitter * [1, 1, 0.3], out * 0.35 - front


@lru_cache(maxsize=64)
def _half_width(person: Person) -> dict[str, float]:
    """Half-widths and depths of the trunk at rest, metres: how far hands must stay from the body's axis."""
    body, vertices = body_model(), person.rest.vertices
    heads = person.rest.heads
    trunk = _trunk_vertices()

    def slab(bone: str, drop: float = 0.0) -> Floats:
        near = vertices[trunk]
        return near[np.abs(near[:, 2] - heads[body.bone[bone]][2] + drop) < 0.03]

    waist, hips, chest = slab("spine04"), slab("upperleg01.L"), slab("spine02")
    middle = {name: heads[body.bone[name]][1] for name in ("spine04", "spine02", "upperleg01.L")}
    return {
        "waist": float(np.abs(waist[:, 0]).max()),
        "hips": float(np.abs(hips[:, 0]).max()),
        "depth": float(middle["spine02"] - min(chest[:, 1].min(), waist[:, 1].min() + 0.02)),
        "back": float(waist[:, 1].max() - middle["spine04"]),
        "belly": float(middle["upperleg01.L"] - min(hips[:, 1].min(), waist[:, 1].min())),
    }


@cache
def _trunk_vertices() -> np.ndarray:
    """(V,) bool: hips, waist and chest."""
    body = body_model()
    chosen = [i for name, i in body.bone.items() if name.startswith(("spine", "root", "pelvis", "upperleg01"))]
    return (body.skin[:, chosen].sum(1) > 0.8) & (body.template[:, 2] > 0.0) & (body.template[:, 2] < 0.6)


def depth_in_trunk(vertices: Floats) -> float:
    """Metres by which forearms and hands are inside of the trunk, by the vertices of `trunk_check`."""
    limbs, chosen, faces = _limbs_and_trunk()[:3]
    limb, trunk = vertices[limbs], vertices[chosen]
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    nearest = ((trunk**2).sum(1) - 2 * limb @ trunk.T).argmin(1)
    offset = limb - trunk[nearest]
    depth = -(offset * normals[nearest]).sum(1)
    return float(depth[(offset**2).sum(1) < 0.12**2].max(initial=0.0))


def trunk_check() -> tuple[np.ndarray, Floats]:
    """The vertices of the body that `depth_in_trunk` looks at, and their weights of bones."""
    needed, skin = _limbs_and_trunk()[3:]
    return needed, skin


@cache
def _limbs_and_trunk() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Floats]:
    """Some vertices of forearms and hands, some of the trunk, and a face at each of the latter, all as places among
    the vertices that follow; and the weights of bones of these."""
    body = body_model()
    arms = [i for name, i in body.bone.items() if name.startswith(("lowerarm", "wrist", "metacarpal", "finger"))]
    limbs = np.flatnonzero(body.skin[:, arms].sum(1) > 0.9)[::9]
    chosen = np.flatnonzero(_trunk_vertices())[::3]
    face_of = np.zeros(len(body.template), np.int64)
    face_of[body.faces.reshape(-1)] = np.repeat(np.arange(len(body.faces)), 3)
    faces = body.faces[face_of[chosen]]
    needed = np.unique(np.concatenate([limbs, chosen, faces.reshape(-1)]))
    limbs, chosen, faces = (np.searchsorted(needed, values) for values in (limbs, chosen, faces))
    return limbs, chosen, faces, needed, body.skin[needed]
