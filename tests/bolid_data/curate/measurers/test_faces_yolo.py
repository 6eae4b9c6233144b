"""A YOLO face detector by name, loaded from checkpoints made here: YOLO11n with weights of YOLO11n-pose, whose boxes
are known, or random ones."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from bolid_data import weights
from bolid_data.curate.measurers.faces_yolo import FILE, YoloFaceMeasurer
from bolid_data.curate.measurers.measurer import MIN_SCORE, Photo
from bolid_data.curate.measurers.people import PoseMeasurer, import_yolo
from bolid_data.errors import BolidError, UsageError
from bolid_data.images import read_upright

LOGIT_SHIFT = 2.0
"""Subtracted from the logit of every score, so that some are low."""


def save(folder: Path, names: dict[int, str], change: Callable[[Any], object]) -> Path:
    """A YOLO11n detection checkpoint with these classes, as its trainer would save it, after `change` is applied."""
    import_yolo()
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(4)
    network = DetectionModel("yolo11n.yaml", nc=len(names), verbose=False)
    network.names = names
    change(network)
    folder.mkdir(exist_ok=True)
    torch.save({"model": network.half(), "train_args": {"imgsz": 640}}, folder / FILE)
    return folder


def shift_scores(network: Any) -> None:
    """Loads the weights with which YOLO11n-pose detects people, and lowers their scores by LOGIT_SHIFT."""
    pose = import_yolo()(str(weights.find("yolo11n-pose").path), task="pose").model.state_dict()
    network.load_state_dict({name: pose[name] for name in network.state_dict()})
    for head in network.model[-1].cv3:
        head[-1].bias.data -= LOGIT_SHIFT


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    import_yolo()
    from ultralytics.utils import ASSETS

    bus, zidane = (read_upright(ASSETS / name) for name in ("bus.jpg", "zidane.jpg"))
    return [Photo("bus", bus), Photo("zidane", zidane), Photo("grey", Image.new("RGB", (1000, 1400), "grey"))]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> YoloFaceMeasurer:
    folder = save(tmp_path_factory.mktemp("yolo") / "faces", {0: "FACE"}, shift_scores)
    return YoloFaceMeasurer(folder.name, folder.parent)


@pytest.fixture(scope="module")
def rows(detector: YoloFaceMeasurer, photos: list[Photo]) -> list[dict[str, Any]]:
    return detector.measure(photos)["detections"]


def test_boxes_are_the_networks_in_pixels_of_the_upright_photo(rows: list[dict[str, Any]], photos: list[Photo]) -> None:
    def ordered(detections: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(detections, key=lambda row: (row["sha256"], row["box"]))

    people = [row for row in PoseMeasurer().measure(photos)["detections"] if row["score"] > 0.4]
    assert len(people) == 6  # four on the photo of the bus, two on the other
    for person, face in zip(ordered(people), ordered(rows), strict=True):
        assert (face["sha256"], face["kind"], face["keypoints"]) == (person["sha256"], "face", None)
        # The checkpoint is in half precision.
        score = 1 / (1 + (1 / person["score"] - 1) * math.exp(LOGIT_SHIFT))
        assert face["score"] == pytest.approx(score, abs=0.01)
        assert face["box"] == pytest.approx(person["box"], abs=3)


def test_everything_above_the_minimum_score_is_recorded_and_rounded(rows: list[dict[str, Any]]) -> None:
    assert all(row["score"] >= MIN_SCORE for row in rows) and any(row["score"] < 0.25 for row in rows)
    assert all(round(value, 1) == value for row in rows for value in row["box"])


def test_rows_do_not_depend_on_the_batch(
    detector: YoloFaceMeasurer, rows: list[dict[str, Any]], photos: list[Photo]
) -> None:
    backwards = detector.measure(photos[::-1])["detections"]
    for photo in photos:
        expected = [row for row in rows if row["sha256"] == photo.sha256]
        assert detector.measure([photo])["detections"] == expected
        assert [row for row in backwards if row["sha256"] == photo.sha256] == expected
    assert detector.measure([]) == {"detections": []}


def test_a_detector_of_other_things_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "other", {0: "bus", 1: "tram"}, lambda network: None)
    with pytest.raises(UsageError, match="detects bus, tram …, not faces alone"):
        YoloFaceMeasurer("other", tmp_path)


class _Code:
    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("safe", ["true", "false"])
def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe: str
) -> None:
    monkeypatch.chdir(tmp_path)
    import_yolo()
    monkeypatch.setattr("ultralytics.nn.tasks.SAFE_LOAD", safe == "true")
    torch.save({"model": _Code()}, tmp_path / FILE)
    with pytest.raises(BolidError, match="not a YOLO checkpoint that can be loaded safely"):
        YoloFaceMeasurer(".", tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"<!doctype html>", b"PK\x03\x04 cut off"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(BolidError, match=r"model\.pt: not a YOLO checkpoint"):
        YoloFaceMeasurer(".", tmp_path)


def test_the_error_for_a_missing_hub_model_says_how_to_download_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BolidError, match="run `hf download AdamCodd/YOLOv11n-face-detection`"):
        YoloFaceMeasurer("AdamCodd/YOLOv11n-face-detection", tmp_path)
