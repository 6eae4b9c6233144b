"""Faces, by MTCNN (Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks, 2016)."""

import threading
from collections.abc import Sequence
from typing import Any

import torch

from bolid_data import weights
from bolid_data.curate.measurers.measurer import MIN_SCORE, PAD_VALUE, Photo, describe_model
from bolid_data.curate.measurers.people import clip
from bolid_data.curate.runtime import Network, describe

SIDE = 480
"""Longest side in pixels of the network's input; larger is slower and finds no more faces that matter."""

MIN_FACE = 24
"""Smallest face to detect, in the same pixels: a twentieth of the photo's longest side."""

# The second stage's threshold is usually 0.7, by which hands and buttons pass for faces on one portrait in six; with
# 0.9, on one in fifty. The last stage gives the scores, so it keeps all down to MIN_SCORE.
THRESHOLDS = [0.6, 0.9, MIN_SCORE]


class FaceMeasurer:
    """Records every face above MIN_SCORE: score and box in pixels of the upright photo, no keypoints."""

    def __init__(self, name: str = "mtcnn", device: str = "cpu") -> None:
        self._weights, self._device = weights.find(name), device
        self.model = describe_model(
            self._weights, side=SIDE, min_face=MIN_FACE, thresholds=THRESHOLDS, runtime=describe(device)
        )
        self._cascade: Any = None  # loaded with the first photo: that takes seconds, and there may be none
        self._loading = threading.Lock()

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        return {"detections": [row for photo in photos for row in self._measure_one(photo)]}

    def _measure_one(self, photo: Photo) -> list[dict[str, Any]]:
        # One at a time: in a batch, the offsets that keep photos apart in suppression change how boxes are rounded.
        pixels, scale = photo.fit(SIDE)
        padding = [max(0, MIN_FACE - length) for length in pixels.shape[:2]]
        planes = torch.from_numpy(pixels).permute(2, 0, 1).float()
        planes = torch.nn.functional.pad(planes, (0, padding[1], 0, padding[0]), value=PAD_VALUE)
        # Planar memory, whatever the order of the dimensions: the cascade resizes it in half the time.
        with self._loading:
            self._cascade = self._cascade or _load(self._weights, self._device)
        boxes, scores = self._cascade.detect(planes.permute(1, 2, 0))
        if boxes is None:
            return []
        return [
            {
                "sha256": photo.sha256,
                "kind": "face",
                "score": round(float(score), 4),
                "box": box,
                "keypoints": None,
            }
            for score, box in zip(scores, clip(boxes / scale, photo), strict=True)
        ]


def _load(model_weights: weights.Weights, device: str) -> Any:
    """The cascade with its three networks prepared for this machine."""
    from facenet_pytorch import MTCNN
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

    # MTCNN reads the weights from its own package, where `weights.find` has just checked them.
    cascade = MTCNN(min_face_size=MIN_FACE, thresholds=THRESHOLDS, keep_all=True, device=torch.device(device))
    cascade.pnet = Network(PNet, model_weights, torch.zeros(1, 3, 96, 64), (1, 3, -1, -1), device)
    cascade.rnet = Network(RNet, model_weights, torch.zeros(2, 3, 24, 24), (-1, 3, 24, 24), device)
    cascade.onet = Network(ONet, model_weights, torch.zeros(2, 3, 48, 48), (-1, 3, 48, 48), device)
    return cascade
