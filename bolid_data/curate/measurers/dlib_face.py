"""Identity embeddings of faces, by dlib's ResNet (King, High Quality Face Recognition with Deep Metric Learning, 2017).

Named `dlib-face` in the manifest. A face is found by dlib's own detector within the crop of the head that the pose
gives, aligned by five landmarks, and embedded if it is good enough.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from bolid_data import dlib_weights
from bolid_data.curate.measurers.head_crop import MIN_EYES, SIDE, crop_head, shows_face
from bolid_data.curate.measurers.measurer import Keypoints, Photo, describe_model
from bolid_data.curate.measurers.sharpness import sharpness
from bolid_data.errors import BolidError
from bolid_data.records import Model

MIN_FACE_SCORE = 0.0
"""The detector's score of a face that is seen well enough. Below: turned away, or hidden."""

MIN_FACE_SHARPNESS = 12.0
"""Sharpness of an aligned face. Below: out of focus or enlarged, which moves an embedding as far as some strangers'."""

_CHIP = 150  # pixels; the input of the network
_LOWEST_SCORE = -0.5  # asked of the detector

FindKeypoints = Callable[[Sequence[str]], Mapping[str, Keypoints]]
"""Maps sha256s of photos to the keypoints of each photo's main person; photos without a person are left out."""


class DlibFaceMeasurer:
    """Records a unit vector (128,) of the main person's face on each photo. Photos that show none, or one that is too
    small, turned away or blurred, get no row."""

    def __init__(self, pose: Model, keypoints: FindKeypoints) -> None:
        self._weights = dlib_weights.find()
        self.model = describe_model(
            self._weights,
            side=SIDE,
            eyes=MIN_EYES,
            score=MIN_FACE_SCORE,
            sharpness=MIN_FACE_SHARPNESS,
            opencv=cv2.__version__,
            pillow=version("pillow"),
            pose=pose.id,
            runtime=f"dlib {_import_dlib().__version__}",
        )
        self._keypoints = keypoints
        self._per_thread = threading.local()  # dlib's networks keep state while they run

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        people = self._keypoints([photo.sha256 for photo in photos]) if photos else {}
        rows = []
        for photo in photos:
            points = people.get(photo.sha256)
            if points and shows_face(points) and (vector := self._networks().embed(crop_head(photo.image, points))):
                rows.append({"sha256": photo.sha256, "vector": vector})
        return {"embeddings": rows}

    def _networks(self) -> "_Networks":
        if not hasattr(self._per_thread, "networks"):
            self._per_thread.networks = _Networks(self._weights.path)
        networks: _Networks = self._per_thread.networks
        return networks


class _Networks:
    def __init__(self, folder: Path) -> None:
        dlib = _import_dlib()
        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(folder / dlib_weights.LANDMARKS))
        self._resnet = dlib.face_recognition_model_v1(str(folder / dlib_weights.RESNET))
        self._align = dlib.get_face_chip

    def embed(self, head: Image.Image) -> list[float] | None:
        """The unit vector of the face in the middle of a head's crop, rounded; None if it is not good enough."""
        pixels = np.asarray(head)
        faces, scores, _ = self._detector.run(pixels, 0, _LOWEST_SCORE)
        if not faces:
            return None
        # Of several, that nearest to the middle: a crop may hold a part of somebody else.
        centres = np.array([(face.center().x, face.center().y) for face in faces])
        nearest = int(np.linalg.norm(centres - SIDE / 2, axis=1).argmin())
        if scores[nearest] < MIN_FACE_SCORE:
            return None
        landmarks = self._landmarks(pixels, faces[nearest])
        chip = self._align(pixels, landmarks, size=_CHIP)
        if sharpness(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)) < MIN_FACE_SHARPNESS:
            return None
        vector = np.array(self._resnet.compute_face_descriptor(pixels, landmarks))
        return [round(float(value), 4) for value in vector / np.linalg.norm(vector)]


def _import_dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise BolidError(
            f"{dlib_weights.NAME} needs dlib, which is not installed; run `pip install 'bolid[dlib-face]'`"
        ) from error
    return dlib
