"""Photos of drawn people, in which real detectors find a person, of any size."""

import io
from dataclasses import dataclass

from PIL import Image

from bolid_data.gallery.people import draw_people
from bolid_data.gallery.photo import Shot, draw_photo

_DRAWN = (300, 450)  # and then enlarged: drawing takes much longer


@dataclass(frozen=True)
class PhotoOfPerson:
    """A JPEG with its truth."""

    person: str
    jpeg: bytes
    width: int
    height: int
    keypoints: list[list[float]]  # 17 × (x, y, visible), COCO order, pixels
    caption: str


def draw_photos(people: int, photos: int, size: tuple[int, int], seed: int = 0) -> list[PhotoOfPerson]:
    """Draws `photos` portraits of each of `people` people, of `size` width and height."""
    drawn = []
    for number, person in enumerate(draw_people(people, seed)):
        for photo in range(photos):
            shot = draw_photo(Shot((person,), "full", _DRAWN, (seed, number, photo)))
            assert shot.keypoints and shot.facts
            file = io.BytesIO()
            shot.image.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=92)
            scale_x, scale_y = (new / old for new, old in zip(size, _DRAWN, strict=True))
            keypoints = [[x * scale_x, y * scale_y, float(visible)] for x, y, visible in shot.keypoints]
            caption = f"a photo of a person in a {shot.facts['top']} top, number {photo}"
            drawn.append(PhotoOfPerson(person.slug, file.getvalue(), *size, keypoints, caption))
    return drawn
