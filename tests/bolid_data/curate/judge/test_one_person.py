"""Exactly one person: what the pose model and the face model see of drawn scenes, judged together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bolid_data.curate.measurers.faces import FaceMeasurer
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.manifest import Filter
from bolid_data.records import Measurements
from bolid_data.synthetic.people import Person, draw_person
from bolid_data.synthetic.photo import Shot, take_photo
from bolid_data.synthetic.pose import draw_pose
from tests.support.measured_dataset import FACE, LENIENT, POSE, World

SIZE = (1100, 1500)


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return [draw_person(8181, index) for index in range(4)]


@pytest.fixture
def judge(tmp_path: Path) -> Callable[[Image.Image, Filter], list[str]]:
    """The reasons that a picture is out for, by the real models."""
    world, pose, face = World(tmp_path), PoseMeasurer(), FaceMeasurer()

    def of(image: Image.Image, thresholds: Filter = LENIENT) -> list[str]:
        sha256 = world.photo(people=(), faces=(), width=image.width, height=image.height)
        with world.dataset.catalog.open() as con:
            con.execute("DELETE FROM measured WHERE sha256 = ? AND model IN (?, ?)", [sha256, POSE.id, FACE.id])
        batches = [
            Measurements(model, [sha256], measurer.measure([Photo(sha256, image)]))
            for model, measurer in ((POSE, pose), (FACE, face))
        ]
        world.dataset.catalog.measurements.record_measurements(batches, {})
        world.judge(thresholds)
        return world.verdicts()[sha256]

    return of


def portrait(person: Person, seed: int) -> Image.Image:
    pose = draw_pose(np.random.default_rng(seed), "standing", "down")
    return Image.fromarray(take_photo([person], seed, SIZE, Shot("full", yaw=5, pose=pose)).image)


def test_one_person_is_in(people: list[Person], judge: Callable[..., list[str]]) -> None:
    assert judge(portrait(people[2], 3)) == []


def test_a_face_on_a_poster_is_out_unless_the_manifest_allows_it(
    people: list[Person], judge: Callable[..., list[str]]
) -> None:
    scene = portrait(people[2], 3)
    bust = take_photo([people[1]], 2, (700, 900), Shot("bust", yaw=0))
    x, y = bust.truth.people[0].keypoints[:5, :2].mean(0)
    face = (round(x - 130), round(y - 150), round(x + 130), round(y + 150))
    poster = Image.fromarray(bust.image).crop(face).resize((260, 300))
    scene.paste(poster, (20, 40))
    assert "several_faces" in judge(scene)
    tolerant = Filter(min_photos_per_person=1, max_faces=2, max_other_faces=1, min_prominence=0.2)
    assert judge(scene, tolerant) == []


def test_two_people_are_out(people: list[Person], judge: Callable[..., list[str]]) -> None:
    both = Image.fromarray(take_photo(people[:2], 3, (1500, 1200), Shot("full")).image)
    assert "several_people" in judge(both)


def test_a_passer_by_far_behind_is_nobody_unless_the_manifest_counts_all(
    people: list[Person], judge: Callable[..., list[str]]
) -> None:
    scene = portrait(people[2], 3)
    far = portrait(people[3], 4).resize((220, 300), Image.Resampling.LANCZOS)
    scene.paste(far, (SIZE[0] - 230, 620))
    assert judge(scene) == []
    assert "several_people" in judge(scene, Filter(min_photos_per_person=1, min_prominence=0))


ALL_BACKGROUND = Filter(min_photos_per_person=1, min_background_prominence=0)


def with_passer_by(people: list[Person], x: int, blur: float = 0) -> Image.Image:
    """Somebody behind, of about a quarter of the person's size, at x from the left."""
    scene = portrait(people[2], 3)
    behind = portrait(people[3], 4).resize((500, 682), Image.Resampling.LANCZOS)
    scene.paste(behind.filter(ImageFilter.GaussianBlur(blur)), (x, 500))
    return scene


def test_somebody_out_of_focus_in_the_background_is_a_bystander(
    people: list[Person], judge: Callable[..., list[str]]
) -> None:
    assert "several_people" in judge(with_passer_by(people, 640))
    blurred = with_passer_by(people, 640, blur=5)
    assert judge(blurred) == []
    assert "several_people" in judge(blurred, ALL_BACKGROUND)


def test_somebody_whom_the_edge_cuts_in_half_is_a_bystander(
    people: list[Person], judge: Callable[..., list[str]]
) -> None:
    cut = with_passer_by(people, SIZE[0] - 290)
    assert judge(cut) == []
    assert "several_people" in judge(cut, ALL_BACKGROUND)


def test_somebody_in_a_mirror_is_a_second_person(people: list[Person], judge: Callable[..., list[str]]) -> None:
    scene = Image.new("RGB", (1600, 1500), "grey")
    person = portrait(people[2], 3).resize((800, 1091), Image.Resampling.LANCZOS)
    scene.paste(person, (0, 300))
    scene.paste(person.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (800, 300))
    assert "several_people" in judge(scene)


def test_a_photo_on_its_side_is_out(people: list[Person], judge: Callable[..., list[str]]) -> None:
    lying = portrait(people[2], 3).transpose(Image.Transpose.ROTATE_90)
    assert "sideways" in judge(lying)
    assert "sideways" not in judge(lying, Filter(min_photos_per_person=1, max_tilt=180))
