"""The pose to generate, for methods that are conditioned on one: by name, or that of the base's own image."""

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from bolid_data.errors import UsageError
from bolid_data.progress import note
from bolid_train.data.batch import Batch
from bolid_train.data.buckets import Size
from bolid_train.data.features.views import fractions
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.inference.pipeline import InferencePipeline
from bolid_train.inference.reference_photos import ReferencePhoto, detect_in

_HEAD = ((0.0, 0.12), (0.02, 0.10), (-0.02, 0.10), (0.045, 0.11), (-0.045, 0.11))
_TRUNK = ((0.10, 0.22), (-0.10, 0.22))
_LEGS = ((0.06, 0.52), (-0.06, 0.52), (0.06, 0.72), (-0.06, 0.72), (0.06, 0.92), (-0.06, 0.92))
_POSES: dict[str, Sequence[tuple[float, float]]] = {
    "standing": (*_HEAD, *_TRUNK, (0.13, 0.37), (-0.13, 0.37), (0.13, 0.51), (-0.13, 0.51), *_LEGS),
    "arms-raised": (*_HEAD, *_TRUNK, (0.20, 0.13), (-0.20, 0.13), (0.22, 0.01), (-0.22, 0.01), *_LEGS),
    "hands-on-hips": (*_HEAD, *_TRUNK, (0.21, 0.34), (-0.21, 0.34), (0.09, 0.47), (-0.09, 0.47), *_LEGS),
    "walking": (
        *_HEAD, *_TRUNK, (0.15, 0.36), (-0.15, 0.36), (0.22, 0.47), (-0.08, 0.50),
        (0.05, 0.52), (-0.05, 0.52), (-0.02, 0.73), (0.06, 0.71), (-0.14, 0.90), (0.12, 0.92),
    ),
    "sitting": (
        *_HEAD, *_TRUNK, (0.14, 0.37), (-0.14, 0.37), (0.09, 0.50), (-0.09, 0.50),
        (0.07, 0.55), (-0.07, 0.55), (0.11, 0.64), (-0.11, 0.64), (0.10, 0.86), (-0.10, 0.86),
    ),
}  # fmt: skip
"""COCO's 17 keypoints of people who face the camera: x from the middle and y from the top, both in heights of the
image."""

NAMES = tuple(_POSES)


def named_pose(name: str, size: Size) -> ReferencePhoto:
    """A pose by its name, in the middle of an image of `size` (width, height), and as large as its width allows. Raises
    UsageError for an unknown name."""
    if name not in _POSES:
        raise UsageError(f"--pose {name}: no such photo, and no pose of this name; there are {', '.join(NAMES)}")
    width, height = size
    widest = 2 * max(abs(x) for x, _ in _POSES[name])
    scale = min(height, 0.9 * width / widest)
    top = (height - scale) / 2
    points = [(width / 2 + scale * x, top + scale * y, 1.0) for x, y in _POSES[name]]
    return ReferencePhoto(Image.new("RGB", size), points)


def with_pose_of_base(
    pipeline: InferencePipeline, batch: tuple[Batch, Batch], steps: int, guidance: float, seed: int, size: Size
) -> tuple[Batch, Batch]:
    """The batches with the pose of the base's image of the same prompt and noise, if there is a person on it. The
    method's scales are 0 afterwards."""
    for name in pipeline.spec.scales:
        pipeline.method.scale(name, 0.0)
    one = batch[0].select(slice(1)), batch[1].select(slice(1))
    image = pipeline.generate(pipeline.conditions(one, seed), steps, guidance, seed, size)
    detector = load_keypoints(pipeline.settings.objective.detector, str(pipeline.pipe.device))
    points = detect_in(image, detector, pipeline.pipe.device)
    if not any(confidence for _, _, confidence in points):
        note(f"generate: seed {seed}: the base's image shows nobody, so no pose is asked for; --pose names one")
        return batch
    keypoints = fractions(points, size).to(batch[0].keypoints).expand_as(batch[0].keypoints)
    return replace(batch[0], keypoints=keypoints), replace(batch[1], keypoints=keypoints)
