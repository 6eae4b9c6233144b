"""Faces by dlib: which are embedded, how close people are to themselves and to others, and who is the odd one out."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bolid_data import dlib_weights, manifest
from bolid_data.curate.measurers.dlib_face import DlibFaceMeasurer
from bolid_data.curate.measurers.measurer import Keypoints, Photo
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.curate.run import filter_photos
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import read_upright
from bolid_data.manifest import CALIBRATED_LIKENESS
from tests.support.face_weights import needs_face_weights, needs_real_photos
from tests.support.paths import REAL_PHOTOS
from tests.support.photographs import BUS, ZIDANE

THRESHOLD = CALIBRATED_LIKENESS["dlib-face"]
COACH, PLAYER = 0, 1  # on ZIDANE, from the left; the player looks away


@pytest.fixture(scope="module")
def pose() -> PoseMeasurer:
    return PoseMeasurer()


def people_on(image: Image.Image, pose: PoseMeasurer) -> list[Keypoints]:
    """The keypoints of the certain people, from left to right."""
    rows = [row for row in pose.measure([Photo("x", image)])["detections"] if row["score"] >= 0.5]
    return [row["keypoints"] for row in sorted(rows, key=lambda row: row["box"][0])]


def embed(image: Image.Image, keypoints: Keypoints, pose: PoseMeasurer) -> list[float] | None:
    rows = DlibFaceMeasurer(pose.model, lambda _: {"x": keypoints}).measure([Photo("x", image)])["embeddings"]
    return rows[0]["vector"] if rows else None


def faces(path: Path, pose: PoseMeasurer) -> list[np.ndarray]:
    image = read_upright(path)
    vectors = [embed(image, keypoints, pose) for keypoints in people_on(image, pose)]
    return [np.array(vector) for vector in vectors if vector]


@needs_face_weights
def test_a_face_is_a_rounded_unit_vector(pose: PoseMeasurer) -> None:
    image = read_upright(ZIDANE)
    vector = embed(image, people_on(image, pose)[1], pose)
    assert vector and len(vector) == 128 and vector == [round(value, 4) for value in vector]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
    assert embed(image, people_on(image, pose)[1], pose) == vector


@needs_face_weights
def test_faces_that_are_not_good_enough_get_no_row(pose: PoseMeasurer) -> None:
    image = read_upright(ZIDANE)
    away, towards = people_on(image, pose)
    assert embed(image, away, pose) is None
    blurred = image.filter(ImageFilter.GaussianBlur(6))
    assert embed(image, towards, pose) and embed(blurred, towards, pose) is None
    hidden = [[x, y, 0.1 if i in (1, 2) else c] for i, (x, y, c) in enumerate(towards)]
    assert embed(image, hidden, pose) is None
    street = read_upright(BUS).resize((405, 540))
    assert all(embed(street, keypoints, pose) is None for keypoints in people_on(street, pose))  # too small


@needs_face_weights
def test_photos_without_a_person_get_no_row(pose: PoseMeasurer) -> None:
    measurer = DlibFaceMeasurer(pose.model, lambda _: {})
    assert measurer.measure([Photo("x", Image.new("RGB", (100, 100)))]) == {"embeddings": []}
    assert measurer.measure([]) == {"embeddings": []}


@needs_face_weights
@needs_real_photos
def test_photos_of_a_person_are_closer_than_those_of_two(pose: PoseMeasurer) -> None:
    first = [face for path in sorted(REAL_PHOTOS.glob("person-a/*.jpg")) for face in faces(path, pose)]
    (second,) = faces(REAL_PHOTOS / "person-b" / "01.jpg", pose)
    same = [float(a @ b) for i, a in enumerate(first) for b in first[:i]]
    assert len(same) == 3 and min(same) > 0.94
    assert max(float(face @ second) for face in first) < 0.85


@needs_face_weights
@needs_real_photos
def test_people_of_one_photo_are_told_apart(pose: PoseMeasurer) -> None:
    groups = [faces(path, pose) for path in sorted(REAL_PHOTOS.glob("groups/*.jpg"))]
    pairs = [float(a @ b) for group in groups for i, a in enumerate(group) for b in group[:i]]
    assert len(pairs) >= 20 and max(pairs) < 0.94 and np.median(pairs) < 0.9


MANIFEST = """
name = "odd"
[source]
kind = "folder"
path = "photos"
[filter]
min_width = 1
min_height = 1
max_faces = 9
max_other_faces = 9
max_hamming_between = false
min_photos_per_person = 1
[models]
identity = "dlib-face"
"""


@needs_face_weights
@needs_real_photos
def test_somebody_else_in_a_persons_folder_is_the_odd_one_out(tmp_path: Path) -> None:
    from bolid_data.collect.run import scrape

    folder = tmp_path / "photos" / "anna"
    shutil.copytree(REAL_PHOTOS / "person-a", folder)
    shutil.copy(REAL_PHOTOS / "person-b" / "01.jpg", folder / "other.jpg")
    (tmp_path / "m.toml").write_text(MANIFEST, encoding="utf-8")
    loaded, dataset = manifest.load(tmp_path / "m.toml"), Dataset(tmp_path / "data")
    scrape(loaded, dataset)
    assert filter_photos(loaded, dataset)["reasons"] == {"odd_one_out": 1}
    (odd,) = [photo for photo in listed(dataset) if photo["reasons"]]
    assert odd["file"].endswith("other.jpg") and odd["margins"]["odd_one_out"] < 0
    dataset.catalog.erasure.forget("anna", sorted(dataset.catalog.erasure.photos()))
    with dataset.catalog.open(read_only=True) as con:
        assert con.execute(
            "SELECT (SELECT count(*) FROM embeddings), (SELECT count(*) FROM likenesses)"
        ).fetchall() == [(0, 0)]


@needs_face_weights
@needs_real_photos
def test_one_man_under_two_names_is_suspected(tmp_path: Path) -> None:
    from bolid_data.collect.run import scrape

    for person, files in {
        "anna": ("person-a/01.jpg", "person-a/02.jpg"),
        "anne": ("person-a/03.jpg",),
        "ben": ("person-b/01.jpg",),
    }.items():
        (tmp_path / "photos" / person).mkdir(parents=True)
        for file in files:
            shutil.copy(REAL_PHOTOS / file, tmp_path / "photos" / person)
    (tmp_path / "m.toml").write_text(MANIFEST, encoding="utf-8")
    loaded, dataset = manifest.load(tmp_path / "m.toml"), Dataset(tmp_path / "data")
    scrape(loaded, dataset)
    suspects = filter_photos(loaded, dataset)["suspects"]
    assert [row["people"] for row in suspects["one_person"]] == [["anna", "anne"]]
    assert suspects["two_people"] == []


def listed(dataset: Dataset) -> list[dict[str, Any]]:
    from bolid_data.curate.judge import Wanted, list_photos

    return list(list_photos(dataset.catalog, Wanted()))


def test_the_calibrated_threshold_holds_unless_the_manifest_sets_one(tmp_path: Path) -> None:
    def min_likeness(rest: str) -> float | None:
        (tmp_path / "m.toml").write_text(f'name = "x"\nsource = {{ kind = "folder", path = "." }}\n{rest}')
        return manifest.load(tmp_path / "m.toml").filter.min_likeness

    assert min_likeness("") is None
    assert min_likeness('models.identity = "facebook/dinov2-small"') is None
    assert min_likeness('models.identity = "dlib-face"') == THRESHOLD
    assert min_likeness('models.identity = "dlib-face"\nfilter.min_likeness = 0.5') == 0.5


def test_weights_that_are_missing_or_altered_say_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dlib_weights, "folder", lambda: tmp_path)
    with pytest.raises(BolidError, match=r"are missing at .*; run `python -m bolid_data.dlib_weights`"):
        dlib_weights.find()
    for name in (dlib_weights.LANDMARKS, dlib_weights.RESNET):
        (tmp_path / name).write_bytes(b"other weights")
    with pytest.raises(BolidError, match="is not the pinned 'dlib-face'"):
        dlib_weights.find()


def test_only_the_pinned_archive_is_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "face_recognition_models-0.3.0.tar.gz"
    assert dlib_weights.main([str(archive)]) == 1
    assert "no such file" in capsys.readouterr().err
    archive.write_text(json.dumps("another archive"))
    assert dlib_weights.main([str(archive)]) == 1
    assert "its sha256 differs" in capsys.readouterr().err
