"""What a hand holds: a phone, flat between palm and fingers."""

from dataclasses import replace

import numpy as np

from bolid_data.synthetic.body import Floats, body_model
from bolid_data.synthetic.boxes import boxes_mesh
from bolid_data.synthetic.materials import Material
from bolid_data.synthetic.mesh import Mesh
from bolid_data.synthetic.pieces import SURFACES
from bolid_data.synthetic.stand import Stand
from bolid_data.synthetic.turns import unit

_HALF = (0.072, 0.036, 0.004)
"""Half of a phone's length, width and thickness, metres."""
GLASS = Material(lambda at, size: np.full((len(at), 3), 0.012, np.float32), 0.5, 120)
_FROM_PALM = 0.021  # from the knuckles' bones to the middle of the phone


def phone(standing: Stand, material: int) -> Mesh | None:
    """The phone of the pose that holds one: across the palm, its screen towards the face; the body's axes, metres."""
    pose = standing.pose
    if pose.arms != "holding a phone":
        return None
    end = "L" if pose.side == 0 else "R"

    def head(bone: str) -> Floats:
        return standing.posed.heads[body_model().bone[bone]]

    knuckle = head(f"finger3-1.{end}")
    along = unit(knuckle - head(f"wrist.{end}"))
    fingers = head(f"finger2-1.{end}") - head(f"finger5-1.{end}")
    across = unit(fingers - along * (fingers @ along))
    normal = np.cross(across, along)
    palm = normal * np.sign(normal @ (head("head") - knuckle))
    box = boxes_mesh([((0.0, 0.0, 0.0), _HALF)], material)
    axes = np.stack([across, along, palm])
    vertices = box.vertices @ axes + knuckle + along * 0.012 + palm * _FROM_PALM
    surfaces = np.full(len(box.faces), SURFACES.index("accessory"))
    return replace(box, vertices=vertices.astype(np.float32), surfaces=surfaces)
