"""The parametric body that ships (`weights/body.md`): phenotypes to a rest shape, and its pose. Metres; z up, the body
looks along -y, its left is +x."""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from bolid_data import weights

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

ADULT = (20.0, 70.0)
"""The ages in years that a body may have."""
_RACES = ("african", "asian", "caucasian")
_VARIATIONS = {
    "gender": (0.0, 1.0),  # male, female
    "age": (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0),
    "muscle": (0.0, 0.5, 1.0),
    "weight": (0.0, 0.5, 1.0),
    "height": (0.0, 1.0),
    "proportions": (0.0, 1.0),
    "cupsize": (0.0, 0.5, 1.0),
    "firmness": (0.0, 0.5, 1.0),
}
"""The values of each phenotype between which shapes are interpolated, in the order of the file's products."""


@dataclass(frozen=True)
class Rest:
    """A body in its rest pose."""

    vertices: Floats  # (V, 3)
    heads: Floats  # (B, 3) of the bones
    frames: Floats  # (B, 3, 3) orientations of the bones


@dataclass(frozen=True)
class Posed:
    """A pose of a body: each bone's rotation and translation from the rest pose."""

    transforms: Floats  # (B, 3, 4)
    heads: Floats  # (B, 3)


class BodyModel:
    """What the file holds, in float32. `names` lists bones, keypoints, face_parts, expressions, phenotypes, traits."""

    def __init__(self) -> None:
        with safe_open(weights.find("synthetic-body").path, "numpy") as file:
            self.names: dict[str, list[str]] = json.loads(file.metadata()["names"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 no mapping
        self._tensors = {
            name: value.astype(np.float32 if value.dtype.kind == "f" else np.int64) for name, value in tensors.items()
        }
        self.faces: Ints = self["faces"]
        self.face_parts: Ints = self["face_parts"]
        self.template: Floats = self["vertices"]
        """(V, 3) the mean adult; the coordinates in which cuts of clothes and features of faces are given."""
        self.parents: list[int] = self["bone_parents"].tolist()
        self.bone = {name: index for index, name in enumerate(self.names["bones"])}

    def __getitem__(self, name: str) -> NDArray:
        return self._tensors[name]

    @cached_property
    def skin(self) -> Floats:
        """(V, B) weights of bones."""
        dense = np.zeros((len(self.template), len(self.parents)), np.float32)
        np.add.at(dense, (np.arange(len(dense))[:, None], self["skin_bones"]), self["skin_weights"])
        return dense / dense.sum(1, keepdims=True)

    @cached_property
    def neighbours(self) -> Ints:
        """(V, 8) vertices that share an edge; filled up with the vertex itself."""
        edges = np.concatenate([self.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0], [1, 0], [2, 1], [0, 2])])
        edges = np.unique(edges, axis=0)
        first = np.searchsorted(edges[:, 0], edges[:, 0])
        rank = np.arange(len(edges)) - first
        table = np.repeat(np.arange(len(self.template))[:, None], 8, 1)
        kept = rank < 8
        table[edges[kept, 0], rank[kept]] = edges[kept, 1]
        return table

    def coefficients(self, phenotypes: dict[str, float]) -> Floats:
        """(R,) coefficients of the basis for phenotypes by name (0 to 1; missing ones are 0.5).

        Beyond its range a phenotype is extrapolated, as anny does if asked to.
        """
        values = {name: phenotypes.get(name, 0.5) for name in (*_VARIATIONS, *_RACES)}
        races = np.array([values[name] for name in _RACES])
        parts = [races / races.sum() if races.sum() else np.full(3, 1 / 3)]
        for name, anchors in _VARIATIONS.items():
            parts.append(_shares(values[name], anchors))
        mask = self["mask"]
        products = np.prod(np.where(mask == 1, np.concatenate(parts)[None], 1.0), axis=1)
        return (products.astype(np.float32) - self["product_mean"]) @ self["product_map"]

    def rest_vertices(self, phenotypes: dict[str, float]) -> Floats:
        """(V, 3) vertices of the rest shape of phenotypes."""
        return self["vertices"] + np.tensordot(self.coefficients(phenotypes), self["vertices_shapes"], 1)

    def rest(self, phenotypes: dict[str, float]) -> Rest:
        """The rest shape of phenotypes."""
        scores = self.coefficients(phenotypes)
        vertices, heads, frames = (
            self[name] + np.tensordot(scores, self[f"{name}_shapes"], 1) for name in ("vertices", "heads", "frames")
        )
        left, _, right = np.linalg.svd(frames)
        left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]  # rotations, not reflections
        frames = (left @ right).astype(np.float32)
        frames[0] = np.eye(3)  # as in anny
        return Rest(vertices, heads, frames)

    def pose(self, rest: Rest, turns: Floats) -> Posed:
        """The pose for each bone's rotation (B, 3, 3) against its parent, in the axes of the world at rest.

        Turns of identity give a reference pose, the same for all bodies. The root turns about the origin.
        """
        reference = self["bone_reference"]
        swing = reference @ rest.frames.transpose(0, 2, 1)  # from rest to reference
        swing[0] = np.eye(3)
        rotations = np.empty_like(reference)
        heads = np.empty_like(rest.heads)
        for bone, parent in enumerate(self.parents):
            if parent < 0:
                rotations[bone], heads[bone] = turns[bone], 0
                continue
            # rotations[bone] takes a reference frame to the world; the bone's head follows its parent.
            heads[bone] = heads[parent] + rotations[parent] @ (swing[parent] @ (rest.heads[bone] - rest.heads[parent]))
            rotations[bone] = rotations[parent] @ turns[bone]
        linear = rotations @ swing
        linear[0] = rotations[0]
        shift = heads - np.einsum("bij,bj->bi", linear, rest.heads)
        return Posed(np.concatenate([linear, shift[:, :, None]], 2).astype(np.float32), heads)

    def keypoints(self, vertices: Floats) -> Floats:
        """(17, 3) COCO's keypoints of a body's vertices (V, 3)."""
        weights_, chosen = self["keypoint_weights"][:17], self["keypoint_vertices"][:17]  # feet follow in the file
        return np.einsum("ks,ksd->kd", weights_, vertices[chosen]).astype(np.float32)


def _shares(value: float, anchors: tuple[float, ...]) -> Floats:
    """The weights of the anchors in a linear interpolation at a value; beyond their ends, in the extrapolation."""
    low = int(np.clip(np.searchsorted(anchors, value) - 1, 0, len(anchors) - 2))
    shares = np.zeros(len(anchors), np.float32)
    shares[low + 1] = (value - anchors[low]) / (anchors[low + 1] - anchors[low])
    shares[low] = 1 - shares[low + 1]
    return shares


def skin_vertices(vertices: Floats, skin: Floats, posed: Posed) -> Floats:
    """(N, 3) vertices of the rest pose with weights of bones (N, B), moved by a pose."""
    blend = (skin @ posed.transforms.reshape(len(posed.transforms), 12)).reshape(-1, 3, 4)
    return np.einsum("nij,nj->ni", blend[:, :, :3], vertices) + blend[:, :, 3]


@cache
def body_model() -> BodyModel:
    """The body, loaded once per process."""
    return BodyModel()
