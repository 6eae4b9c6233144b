from pathlib import Path

import pytest

from bolid_data.curate.judge.framing import FACINGS, FRAMINGS
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.images import read_upright
from tests.support.measured_dataset import World, view
from tests.support.paths import REAL_PHOTOS


def framing_and_facing(world: World, sha256: str) -> tuple[str, str]:
    with world.dataset.catalog.open(read_only=True) as con:
        return con.execute("SELECT framing, facing FROM judged WHERE sha256 = ?", [sha256]).fetchall()[0]


def test_framing_and_facing_follow_from_the_keypoints(tmp_path: Path) -> None:
    world = World(tmp_path)
    combinations = [(framing, facing) for framing in FRAMINGS for facing in FACINGS]
    photos = {world.photo(keypoints=view(*both)): both for both in combinations}
    world.judge()
    for sha256, both in photos.items():
        assert framing_and_facing(world, sha256) == both


def test_a_person_without_visible_keypoints_has_no_facing(tmp_path: Path) -> None:
    world = World(tmp_path)
    sha256 = world.photo(visible=0)
    world.judge()
    assert framing_and_facing(world, sha256) == ("bust", None)


@pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="the real photographs are not beside the project")
def test_portraits_of_real_people_face_the_camera(tmp_path: Path) -> None:
    world = World(tmp_path)
    measurer = PoseMeasurer()
    for file in sorted(REAL_PHOTOS.glob("person-*/*.jpg")):
        rows = measurer.measure([Photo(file.name, read_upright(file))])["detections"]
        best = max((row for row in rows if row["kind"] == "person"), key=lambda row: row["score"])
        sha256 = world.photo(keypoints=best["keypoints"])
        world.judge()
        assert framing_and_facing(world, sha256)[1] == "front", file.name
