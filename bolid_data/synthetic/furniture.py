"""What holds a person up: a seat, a pillar."""

from dataclasses import replace

import numpy as np

from bolid_data.synthetic.body import Floats, body_model
from bolid_data.synthetic.boxes import boxes_mesh
from bolid_data.synthetic.fields import fields
from bolid_data.synthetic.materials import Material
from bolid_data.synthetic.mesh import Mesh
from bolid_data.synthetic.noise import look_up, tile
from bolid_data.synthetic.stand import Stand


def furniture(standing: Stand, heading: Floats, shift: Floats, material: int) -> Mesh | None:
    """A seat below who sits, a pillar beside who leans, in the world: turned by `heading`, moved by `shift`."""
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
    return replace(mesh, vertices=vertices.astype(np.float32))


def _wood(at: Floats, size: float) -> Floats:
    shade = 1 + 0.12 * look_up(tile(), at[:, 0] * 3 + at[:, 1] * 2, at[:, 2] * 0.25)
    return np.array([0.23, 0.17, 0.12]) * shade[:, None]


WOOD = Material(_wood, 0.05, 20)
