"""Photos of made-up people that every model keeps."""

from bolid_data.synthetic.lens import jpeg
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Shot, take_photo

_SEED = 41
_SIZE = (1000, 1340)
_YAWS = (0.0, 20.0, -20.0, 35.0)


def clean_photos(people: int, photos: int) -> list[list[bytes]]:
    """The JPEG files of each of `people`: one whole person on each, who faces the camera or nearly so."""
    return [[_jpeg(index, number) for number in range(photos)] for index in range(people)]


def _jpeg(index: int, number: int) -> bytes:
    shot = Shot("full", yaw=_YAWS[number % len(_YAWS)])
    return jpeg(take_photo([draw_person(_SEED, index)], (_SEED, index, number), _SIZE, shot).image)
