"""Faces, by MTCNN (Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks, 2016)."""

from collections.abc import Sequence
from typing import Any

import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

from bolid_data import weights
from bolid_data.curate.measurers.measurer import FLOOR, GREY, Photo, describe_model
from bolid_data.curate.measurers.people import clip
from bolid_data.curate.runtime import Network, describe

SIDE = 480
"""Longest side in pixels of what the network sees; larger is slower and finds no more faces that matter."""

MIN_FACE = 24
"""Smallest face looked for, in the same pixels: a twentieth of the photo's longest side."""

# The second stage's threshold is usually 0.7; there, hands and buttons pass for faces on one portrait in six,
# here on one in fifty. The last stage scores, and writes all down to the floor.
THRESHOLDS = [0.6, 0.9, FLOOR]


class FaceMeasurer:
    """Writes every face down to the floor: score and box in pixels of the upright photo, no keypoints."""

    def __init__(self, name: str = "mtcnn", device: str = "cpu") -> None:
        found = weights.find(name)
        self.model = describe_model(
            found, side=SIDE, min_face=MIN_FACE, thresholds=THRESHOLDS, runtime=describe(device)
        )
        # The class reads its weights from its own package, where `find` has just checked them.
        self._cascade = MTCNN(min_face_size=MIN_FACE, thresholds=THRESHOLDS, keep_all=True, device=torch.device(device))
        self._cascade.pnet = Network(PNet, found, torch.zeros(1, 3, 96, 64), (1, 3, -1, -1), device)
        self._cascade.rnet = Network(RNet, found, torch.zeros(2, 3, 24, 24), (-1, 3, 24, 24), device)
        self._cascade.onet = Network(ONet, found, torch.zeros(2, 3, 48, 48), (-1, 3, 48, 48), device)

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        return {"detections": [row for photo in photos for row in self._measure_one(photo)]}

    def _measure_one(self, photo: Photo) -> list[dict[str, Any]]:
        # One at a time: in a batch, the offsets that keep photos apart in suppression change the boxes' rounding.
        pixels, scale = photo.fit(SIDE)
        short = [max(0, MIN_FACE - length) for length in pixels.shape[:2]]
        planes = torch.from_numpy(pixels).permute(2, 0, 1).float()
        planes = torch.nn.functional.pad(planes, (0, short[1], 0, short[0]), value=GREY)
        # As planes in memory, whatever order of dimensions is asked for: the cascade shrinks these in half the time.
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
