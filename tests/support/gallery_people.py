"""Photos of made-up people, in which real detectors find a person, of any size."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bolid_data.gallery.cast import draw_cast
from bolid_data.synthetic.photo import Shot, take_photo

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
    scale = np.array([new / old for new, old in zip(size, _DRAWN, strict=True)] + [1.0])
    for member in draw_cast(people, seed):
        for number in range(photos):
            taken = take_photo([member.person], (seed, member.index, number), _DRAWN, Shot("full"))
            main, file = taken.truth.people[0], io.BytesIO()
            enlarged = Image.fromarray(taken.image).resize(size, Image.Resampling.BICUBIC)
            enlarged.save(file, "JPEG", quality=92)
            caption = f"a photo of a person in a {main.description.top} top, number {number}"
            keypoints = (main.keypoints * scale).tolist()
            drawn.append(PhotoOfPerson(member.slug, file.getvalue(), *size, keypoints, caption))
    return drawn
