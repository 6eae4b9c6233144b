"""`bolid group`: people proposed for a shuffled folder of real photographs."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from bolid_data.images import read_upright
from tests.support.commands import bolid
from tests.support.face_weights import needs_face_weights, needs_real_photos
from tests.support.paths import REAL_PHOTOS


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of one man and two of another, one of a third person, one without a face, one that is no photo."""
    folder = tmp_path_factory.mktemp("group") / "shuffled"
    (folder / "deeper").mkdir(parents=True)
    for number, name in enumerate(("person-a/01.jpg", "person-b/01.jpg", "person-a/03.jpg")):
        shutil.copy(REAL_PHOTOS / name, folder / f"IMG_{number}.jpg")
    shutil.copy(REAL_PHOTOS / "person-a" / "02.jpg", folder / "deeper" / "IMG_0.jpg")
    ImageOps.mirror(read_upright(REAL_PHOTOS / "person-b" / "01.jpg")).save(folder / "IMG_5.jpg", quality=90)
    shutil.copy(REAL_PHOTOS / "groups" / "01.jpg", folder / "IMG_6.jpg")
    Image.new("RGB", (800, 800), "grey").save(folder / "grey.png")
    (folder / "notes.txt").write_text("no photo")
    return folder


@needs_face_weights
@needs_real_photos
def test_people_are_proposed_and_nothing_is_changed(shuffled: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in shuffled.rglob("*")}
    people, links = tmp_path / "people.csv", tmp_path / "people"
    result = bolid("group", str(shuffled), "--list", str(people), "--links", str(links), "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    proposal = json.loads(result.stdout)
    assert proposal["people"] == [{"person": "person-001", "photos": 3}, {"person": "person-002", "photos": 2}]
    assert proposal["others"] == {"no_face": 1, "alone": 1, "broken": 1}
    rows = list(csv.DictReader(people.open(encoding="utf-8")))
    named = {Path(row["file"]).relative_to(shuffled).as_posix(): row["person"] for row in rows}
    assert named == {
        "IMG_0.jpg": "person-001", "IMG_2.jpg": "person-001", "deeper/IMG_0.jpg": "person-001",
        "IMG_1.jpg": "person-002", "IMG_5.jpg": "person-002",
    }  # fmt: skip
    linked = sorted(path.relative_to(links).as_posix() for path in links.rglob("*.jpg"))
    assert len(linked) == 5 and linked[0] == "person-001/00001-IMG_0.jpg"
    assert {path: path.stat().st_mtime_ns for path in shuffled.rglob("*")} == before

    again = bolid("group", str(shuffled), "--links", str(links), cwd=tmp_path)
    assert again.returncode == 2 and "is not an empty folder" in again.stderr


@needs_face_weights
def test_a_folder_that_cannot_be_grouped_is_refused(tmp_path: Path) -> None:
    missing = bolid("group", str(tmp_path / "no"), cwd=tmp_path)
    assert missing.returncode == 2 and "no such folder" in missing.stderr
    inside = bolid("group", str(tmp_path), "--links", str(tmp_path / "people"), cwd=tmp_path)
    assert inside.returncode == 2 and "stays as it is" in inside.stderr
