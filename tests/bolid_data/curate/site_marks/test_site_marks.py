"""What a host's photos share is its mark, and what they share for another reason is not."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bolid_data.curate.site_marks.mark import Mark
from bolid_data.curate.site_marks.score import score
from bolid_data.manifest import Filter
from tests.support.marked_hosts import SIZE, encoded, estimated, host, in_corner, overlaid, part, text

MARK = text()
LIMIT = Filter().max_site_mark
VARIED = ((450, 600), (430, 600), (450, 580), (470, 600), (440, 610))


def scores(marks: Sequence[Mark], images: Sequence[Image.Image]) -> np.ndarray:
    return np.array([max(score(mark, image) for mark in marks) for image in images])


def test_a_faint_mark_is_found_from_ten_photos_and_told_from_clean_ones() -> None:
    (mark,) = estimated(host(10, in_corner(MARK, 0.15)))
    assert mark.photos >= 8
    assert np.median(scores([mark], host(12, in_corner(MARK, 0.15), seed=50))) > 0.5
    assert scores([mark], host(40, seed=60)).max() < LIMIT


def test_a_mark_is_the_same_however_the_crawl_came_by_its_photos() -> None:
    images = host(12, in_corner(MARK, 0.3))
    assert [mark.sha256 for mark in estimated(images)] == [mark.sha256 for mark in estimated(images)]


def test_a_site_without_a_mark_has_none() -> None:
    assert estimated(host(24)) == []
    assert estimated(host(15, sizes=VARIED, seed=3)) == []


def test_a_host_of_five_photos_has_none_that_could_be_told() -> None:
    assert estimated(host(5, in_corner(MARK, 0.6))) == []


def test_photos_of_different_sizes_are_aligned_at_the_corner_of_the_mark() -> None:
    (mark,) = estimated(host(15, in_corner(MARK, 0.3), sizes=VARIED))
    assert mark.anchor == (1.0, 1.0)
    assert scores([mark], host(5, in_corner(MARK, 0.3), seed=70, sizes=((460, 590),))).min() > LIMIT


def test_a_mark_may_be_a_share_of_the_width() -> None:
    def draw(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
        mask = MARK.resize((image.width // 2, round(MARK.height * image.width / 2 / MARK.width)))
        return in_corner(mask, 0.4)(image, number, rng)

    wide = ((450, 600), (500, 600), (550, 600), (600, 590), (410, 600))
    marks = estimated(host(20, draw, sizes=wide))
    assert marks[0].unit == "width"
    assert np.median(scores(marks, host(8, draw, seed=70, sizes=((520, 600),)))) > 2 * LIMIT


def test_a_site_that_changed_its_mark_has_two() -> None:
    other = text("CelebBank", 34)

    def draw(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
        if number % 2:
            return in_corner(MARK, 0.3)(image, number, rng)
        return overlaid(image, other, (10, 10), 0.3)

    marks = estimated(host(24, draw))
    assert len(marks) == 2
    assert np.median(scores(marks, host(10, draw, seed=80))) > 2 * LIMIT


def test_a_minority_of_marked_photos_suffices() -> None:
    def draw(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
        return in_corner(MARK, 0.4)(image, number, rng) if number % 3 == 0 else image

    (mark,) = estimated(host(36, draw), people=7)
    assert mark.photos >= 9


@pytest.mark.parametrize("random_phase", [False, True])
def test_a_tiled_mark_is_found_by_its_repetition(random_phase: bool) -> None:
    tile = text("starplace.com", 18).rotate(30, expand=True)

    def draw(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
        shift = int(rng.integers(0, 100)) if random_phase else 0
        sheet = Image.new("L", image.size, 0)
        for top in range(-shift, image.height, tile.height + 30):
            for left in range(-shift, image.width, tile.width + 40):
                sheet.paste(tile, (left, top))
        return overlaid(image, sheet, (0, 0), 0.3)

    marks = estimated(host(20, draw))
    assert marks
    assert np.median(scores(marks, host(8, draw, seed=90))) > 2 * LIMIT
    assert scores(marks, host(20, seed=60)).max() < LIMIT


def test_a_mark_that_moves_is_found_where_photos_share_it() -> None:
    def draw(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
        at = int(rng.integers(0, image.width - MARK.width)), int(rng.integers(0, image.height - MARK.height))
        return overlaid(image, MARK, at, 0.6)

    marks = estimated(host(20, draw))
    assert marks and marks[0].anchor is None
    assert np.median(scores(marks, host(8, draw, seed=40))) > LIMIT


@pytest.mark.parametrize("change", ["reencoded", "resized", "cropped"])
def test_a_copy_of_a_marked_photo_is_recognised(change: str) -> None:
    (mark,) = estimated(host(16, in_corner(MARK, 0.4)))
    copies = []
    for image in host(8, in_corner(MARK, 0.4), seed=30):
        if change == "reencoded":
            copies.append(encoded(image, 50))
        elif change == "resized":
            copies.append(encoded(image.resize((SIZE[0] * 3 // 4, SIZE[1] * 3 // 4), Image.Resampling.LANCZOS)))
        else:
            copies.append(encoded(image.crop((60, 90, SIZE[0] - 3, SIZE[1] - 7))))
    assert (scores([mark], copies) > LIMIT).mean() >= 7 / 8


def _bordered(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    image = image.copy()
    ImageDraw.Draw(image).rectangle((0, 0, image.width - 1, image.height - 1), outline=(255, 255, 255), width=14)
    return image


def _letterboxed(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    image = image.copy()
    for top in (0, image.height - 70):
        ImageDraw.Draw(image).rectangle((0, top, image.width, top + 70), fill=0)
    return image


def _studio(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    """The photo in front of a background that is the same in all."""
    background = part(1, np.random.default_rng(1), image.size)
    background.paste(image.resize((image.width // 2, image.height * 2 // 3)), (int(rng.integers(0, 200)), 200))
    return background


def _dated(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    """A third of the photos with a camera's date."""
    if number % 3:
        return image
    date = text(f"{rng.integers(2003, 2024)} {rng.integers(1, 13):2d} {rng.integers(1, 29):2d}", 18)
    return overlaid(image, date, (image.width - date.width - 20, image.height - date.height - 20), 0.9, (255, 140, 0))


@pytest.mark.parametrize("draw", [_bordered, _letterboxed, _studio, _dated])
def test_what_else_photos_share_is_no_mark(draw) -> None:  # type: ignore[no-untyped-def]
    assert estimated(host(24, draw)) == []


def test_a_mark_in_a_border_is_still_found() -> None:
    marks = estimated(host(16, lambda image, number, rng: in_corner(MARK, 0.5)(_bordered(image, number, rng), 0, rng)))
    assert len(marks) == 1


@pytest.mark.parametrize("people", [1, 2])
def test_print_on_one_persons_shirt_is_no_mark(people: int) -> None:
    """A whole series of one person, at a place that hardly moves."""
    assert estimated(host(16, in_corner(text("CHICAGO 23", 30), 0.9)), people=people) == []


def test_copies_of_one_photo_share_no_mark() -> None:
    photo = part(0, np.random.default_rng(0))
    assert estimated([encoded(photo, 60 + number) for number in range(20)]) == []


def test_the_picture_of_a_mark_shows_it() -> None:
    (mark,) = estimated(host(12, in_corner(MARK, 0.4)))
    picture = np.asarray(mark.picture())
    assert picture.shape == mark.template.shape[:2]
    assert picture.max() > 200 and picture.min() == 0
