"""Photographs of real people: the two that ultralytics ships."""

from importlib.util import find_spec
from pathlib import Path

from PIL import Image

_SPEC = find_spec("ultralytics")
assert _SPEC and _SPEC.origin
# Not imported: that would replace `Image.open` in all tests of the process.
ASSETS = Path(_SPEC.origin).parent / "assets"
BUS, ZIDANE = ASSETS / "bus.jpg", ASSETS / "zidane.jpg"
SERIAL = "a camera's serial number"

MANIFEST = """
name = "photographs"
[source]
kind = "folder"
path = "photos"
[filter]
min_width = 1
min_height = 1
people = 2
max_faces = 9
max_other_faces = 9
max_watermark = 1.0
min_keypoints = 0
min_photos_per_person = 1
[models]
caption = "describe"
[shards]
splits = { train = 1.0 }
"""


def write_folder(home: Path, manifest: str = MANIFEST) -> Path:
    """A folder source with three photos: `zidane/match.jpg` is a photograph as it is, `zidane/turned.jpg` part of
    another that its EXIF turns, `bus/street.png` part of the first. Returns the manifest."""
    photos = home / "photos"
    (photos / "zidane").mkdir(parents=True)
    (photos / "bus").mkdir()
    (photos / "zidane" / "match.jpg").write_bytes(ZIDANE.read_bytes())
    with Image.open(BUS) as image:
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = 6, SERIAL
        image.crop((0, 350, 400, 1000)).transpose(Image.Transpose.ROTATE_90).save(
            photos / "zidane" / "turned.jpg", exif=exif, quality=95
        )
    with Image.open(ZIDANE) as image:
        image.crop((600, 0, 1280, 720)).save(photos / "bus" / "street.png")
    path = home / "photos.toml"
    path.write_text(manifest, encoding="utf-8")
    return path
