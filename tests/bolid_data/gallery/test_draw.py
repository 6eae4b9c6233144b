"""A drawn gallery: reproducible, with a truth for every file, and detected by the real models."""

import io
import json
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from PIL import Image

from bolid_data.curate.measurers.measurer import Photo
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.errors import UsageError
from bolid_data.gallery import draw_gallery
from bolid_data.gallery.draw import draw_gallery as draw
from bolid_data.gallery.nuisance import KINDS, distribute
from bolid_data.images import BrokenPhotoError, read_header, read_upright
from tests.bolid_data.gallery.conftest import PEOPLE, PHOTOS, SEED


@pytest.fixture(scope="module")
def truths(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]


def _of(truths: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    of_kind = [truth for truth in truths if truth["kind"] == kind]
    assert of_kind, f"the gallery has no {kind}"
    return of_kind


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_seed_draws_other_pictures(folder: Path, tmp_path: Path) -> None:
    other = draw_gallery(1, 1, SEED + 1, tmp_path)
    assert not set(_bytes(folder).values()) & set(_bytes(other).values())


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_however_many_processes_draw(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert _bytes(draw(PEOPLE, PHOTOS, SEED, tmp_path)) == _bytes(folder)


def test_a_drawn_gallery_is_reused_and_no_scratch_folder_stays(folder: Path) -> None:
    before = (folder / "truth.jsonl").stat().st_mtime_ns
    assert draw_gallery(PEOPLE, PHOTOS, SEED, folder.parent) == folder
    assert (folder / "truth.jsonl").stat().st_mtime_ns == before
    assert list(folder.parent.iterdir()) == [folder]


def test_an_empty_gallery_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="people, photos"):
        draw_gallery(0, 3, cache=tmp_path)


def test_every_file_has_its_truth_and_every_kind_occurs(folder: Path, truths: list[dict[str, Any]]) -> None:
    files = {path.relative_to(folder / "files").as_posix() for path in (folder / "files").rglob("*.jpg")}
    assert files == {truth["file"] for truth in truths} and len(files) == len(truths)
    counts = Counter(truth["kind"] for truth in truths)
    assert counts["clean"] == PEOPLE * PHOTOS
    assert set(counts) == {"clean", *KINDS}
    for truth in truths:
        assert truth["file"].startswith(f"archive/{truth['person']}/img/")
        assert (truth["reason"] is None) == (truth["kind"] in ("clean", "same_bytes"))


def test_the_default_gallery_has_every_kind_twice_and_every_watermark_faint_and_strong() -> None:
    nuisances = distribute(8, 24, 0)
    counts = Counter(nuisance.kind for of_person in nuisances for nuisance in of_person)
    assert set(counts) == set(KINDS) and min(counts.values()) >= 2
    assert all(8 <= len(of_person) <= 11 for of_person in nuisances)
    marks = {(n.kind, n.strength) for of_person in nuisances for n in of_person if n.strength}
    assert len(marks) == 6


def test_sizes_match_the_truth(folder: Path, truths: list[dict[str, Any]]) -> None:
    for truth in truths:
        if truth["kind"] == "html":
            with pytest.raises(BrokenPhotoError):
                read_header(folder / "files" / truth["file"])
            continue
        header = read_header(folder / "files" / truth["file"])
        assert (header.width, header.height) == (truth["width"], truth["height"])
        assert (min(header.width, header.height) < 1000) == (truth["kind"] == "small")


def test_truncated_files_have_a_header_and_no_picture(folder: Path, truths: list[dict[str, Any]]) -> None:
    for truth in _of(truths, "truncated"):
        with pytest.raises(BrokenPhotoError):
            read_upright(folder / "files" / truth["file"])


def test_copies_are_those_in_the_truth(folder: Path, truths: list[dict[str, Any]]) -> None:
    data = {truth["file"]: (folder / "files" / truth["file"]).read_bytes() for truth in truths}
    for truth in _of(truths, "same_bytes"):
        owners = [t["person"] for t in truths if data[t["file"]] == data[truth["file"]]]
        assert len(owners) >= 2 and set(owners) == {truth["person"]}
    for truth in _of(truths, "two_names"):
        twins = [t for t in truths if data[t["file"]] == data[truth["file"]]]
        assert len({t["person"] for t in twins}) == 2
        assert {t["reason"] for t in twins} == {"two_names"}
    clean = _of(truths, "clean")
    for truth in _of(truths, "reencoded"):
        originals = [t for t in clean if t["person"] == truth["person"] and _hash_distance(data, t, truth) <= 4]
        assert [len(data[truth["file"]]) < len(data[t["file"]]) for t in originals] == [True]


def test_clean_photos_of_a_person_differ(folder: Path, truths: list[dict[str, Any]]) -> None:
    data = {truth["file"]: (folder / "files" / truth["file"]).read_bytes() for truth in truths}
    pairs = [(a, b) for a, b in combinations(_of(truths, "clean"), 2) if a["person"] == b["person"]]
    assert min(_hash_distance(data, a, b) for a, b in pairs) >= 8


def _hash_distance(data: dict[str, bytes], a: dict[str, Any], b: dict[str, Any]) -> int:
    first, second = (imagehash.phash(Image.open(io.BytesIO(data[truth["file"]]))) for truth in (a, b))
    return first - second


@pytest.fixture(scope="module")
def detect(folder: Path) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """Finds the people on a file, by the pose model as `bolid filter` uses it."""
    measurer = PoseMeasurer()

    def people(truth: dict[str, Any]) -> list[dict[str, Any]]:
        photo = Photo(truth["file"], read_upright(folder / "files" / truth["file"]))
        return [row for row in measurer.measure([photo])["detections"] if row["score"] >= 0.5]

    return people


def test_the_pose_model_finds_each_clean_person_where_drawn(
    truths: list[dict[str, Any]], detect: Callable[[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    for truth in _of(truths, "clean"):
        (person,) = detect(truth)
        detected, drawn = np.array(person["keypoints"]), np.array(truth["keypoints"])
        both = (detected[:, 2] >= 0.5) & (drawn[:, 2] > 0)
        assert both.sum() >= 6 or "few_keypoints" in truth["may"], truth
        height = person["box"][3] - person["box"][1]
        assert np.median(np.hypot(*(detected[both, :2] - drawn[both, :2]).T)) < 0.05 * height, truth


def test_the_pose_model_counts_the_people_of_nuisances(
    truths: list[dict[str, Any]], detect: Callable[[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    for kind, people in (("nobody", 0), ("two_people", 2), ("three_people", 3)):
        for truth in _of(truths, kind):
            assert len(detect(truth)) == people, truth


def test_the_truth_knows_the_body(truths: list[dict[str, Any]]) -> None:
    for truth in _of(truths, "clean"):
        measures = truth["measures"]
        assert 1.4 < measures["stature"] < 2.1 and 17 < measures["bmi"] < 43
        joints, left, right = np.array(truth["joints"]), 5, 6
        width = np.linalg.norm(joints[left] - joints[right])
        assert width == pytest.approx(measures["shoulder_width"], rel=0.35)  # of the joints, not of the outline
        assert truth["caption"].count("person") == 1 and truth["caption_facts"]["top"] in truth["caption"]
    same = {json.dumps(truth["measures"]) for truth in _of(truths, "clean")}
    assert len(same) == PEOPLE


def test_the_face_model_finds_one_face_on_a_clean_photo(folder: Path, truths: list[dict[str, Any]]) -> None:
    from facenet_pytorch import MTCNN

    model = MTCNN(keep_all=True, thresholds=[0.6, 0.7, 0.7], min_face_size=24)
    facing = [truth for truth in _of(truths, "clean") if abs(truth["yaw"]) < 50]
    assert len(facing) >= 6
    for truth in facing:
        image = read_upright(folder / "files" / truth["file"])
        image.thumbnail((960, 960))
        _, scores = model.detect(image)
        assert [score >= 0.5 for score in scores if score is not None] == [True], truth
