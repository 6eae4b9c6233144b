"""What a body measures: lengths, girths, mass, from its mesh at rest."""

from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.body import Floats, Rest, body_model

DENSITY = 980.0  # kg/m³, as anny's anthropometry has it
_ARM_BONES = ("upperarm", "lowerarm", "wrist", "metacarpal", "finger")


@dataclass(frozen=True)
class Measures:
    """Metres, kilograms, kg/m². Lengths run from joint to joint; girths are those of a tape, around the convex hull."""

    stature: float
    mass: float
    bmi: float
    shoulder_width: float  # between the shoulder joints
    hip_width: float  # between the hip joints
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    trunk: float  # from the middle of the hips to the middle of the shoulders
    head: float  # from the chin to the crown
    chest_girth: float
    waist_girth: float
    hip_girth: float
    thigh_girth: float
    upper_arm_girth: float


def stature_of(vertices: Floats) -> float:
    """Metres, of vertices (V, 3) at rest."""
    return float(vertices[:, 2].max() - vertices[:, 2].min())


def mass_of(vertices: Floats) -> float:
    """Kilograms: the mesh's volume times the density."""
    a, b, c = np.take(vertices, body_model().faces.T, axis=0).transpose(0, 2, 1)  # (3 corners, 3 axes, F)
    cross = (b[1] * c[2] - c[1] * b[2], b[2] * c[0] - c[2] * b[0], b[0] * c[1] - c[0] * b[1])
    volume = sum(a[axis] * cross[axis] for axis in range(3))
    return float(abs(np.sum(volume, dtype=np.float64))) / 6 * DENSITY


def bmi_of(vertices: Floats) -> float:
    return mass_of(vertices) / stature_of(vertices) ** 2


def measure(rest: Rest) -> Measures:
    """All measures of a body at rest."""
    body = body_model()
    vertices = rest.vertices
    head = {name: rest.heads[index] for name, index in body.bone.items()}
    mean = {name: body["heads"][index] for name, index in body.bone.items()}

    def length(start: str, end: str) -> float:
        return float(np.linalg.norm(head[end] - head[start]))

    def level(height: float) -> float:
        """The height on this body of a height on the mean adult's trunk, in proportion between hips and neck."""
        low, high = ("upperleg01.L", "neck01")
        share = (height - mean[low][2]) / (mean[high][2] - mean[low][2])
        return float(head[low][2] + share * (head[high][2] - head[low][2]))

    arms = body.skin[:, [i for name, i in body.bone.items() if name.startswith(_ARM_BONES)]].sum(1) > 0.5
    trunk = ~arms[body.faces].any(1)
    left_arm = arms[body.faces].all(1) & (body.template[body.faces, 0].mean(1) > 0)
    left_leg = trunk & (body.template[body.faces, 0].min(1) > 0)
    stature, mass = stature_of(vertices), mass_of(vertices)
    up = np.array([0, 0, 1.0])
    hips, shoulders = ((head[f"{name}.L"] + head[f"{name}.R"]) / 2 for name in ("upperleg01", "upperarm01"))
    arm = head["lowerarm01.L"] - head["upperarm01.L"]
    return Measures(
        stature=stature,
        mass=mass,
        bmi=mass / stature**2,
        shoulder_width=length("upperarm01.L", "upperarm01.R"),
        hip_width=length("upperleg01.L", "upperleg01.R"),
        upper_arm=length("upperarm01.L", "lowerarm01.L"),
        forearm=length("lowerarm01.L", "wrist.L"),
        thigh=length("upperleg01.L", "lowerleg01.L"),
        shin=length("lowerleg01.L", "foot.L"),
        trunk=float(np.linalg.norm(shoulders - hips)),
        head=float(vertices[:, 2].max() - vertices[_chin(), 2]),
        chest_girth=_girth(vertices, trunk, up * level(0.47), up),
        waist_girth=_girth(vertices, trunk, up * level(0.28), up),
        hip_girth=max(_girth(vertices, trunk, up * level(z), up) for z in (0.06, 0.085, 0.11)),
        thigh_girth=_girth(vertices, left_leg, head["upperleg01.L"] * 0.75 + head["lowerleg01.L"] * 0.25, up),
        upper_arm_girth=_girth(vertices, left_arm, head["upperarm01.L"] / 2 + head["lowerarm01.L"] / 2, arm),
    )


def _chin() -> int:
    """The vertex of the chin: the lowest at the front of the head's middle plane."""
    template = body_model().template
    near = np.flatnonzero((np.abs(template[:, 0]) < 0.004) & (template[:, 1] < -0.14) & (template[:, 2] > 0.69))
    return int(near[np.argmin(template[near, 2])])


def _girth(vertices: Floats, chosen: np.ndarray, point: Floats, axis: Floats) -> float:
    """The length of a tape around the plane section of faces (F,) through a point: the perimeter of its convex hull."""
    axis = axis / np.linalg.norm(axis)
    faces = body_model().faces[chosen]
    height = (vertices - point) @ axis
    crossing = []
    for a, b in ((0, 1), (1, 2), (2, 0)):
        start, end = faces[:, a], faces[:, b]
        cut = (height[start] < 0) != (height[end] < 0)
        share = height[start[cut]] / (height[start[cut]] - height[end[cut]])
        crossing.append(vertices[start[cut]] + share[:, None] * (vertices[end[cut]] - vertices[start[cut]]))
    points = np.concatenate(crossing)
    across = np.cross(axis, [0, 1, 0])
    across /= np.linalg.norm(across)
    plane = np.stack([points @ across, points @ np.cross(axis, across)], 1)
    # A convex figure's perimeter is the integral of its widths (Cauchy).
    angles = np.linspace(0, np.pi, 90, endpoint=False)
    along = plane @ np.stack([np.cos(angles), np.sin(angles)])
    return float((along.max(0) - along.min(0)).mean() * np.pi)
