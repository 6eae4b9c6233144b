"""Shards of drawn photos of 1200×1800 pixels, as `bolid shard` writes them."""

import hashlib
import json
from itertools import chain
from pathlib import Path

from bolid_data.catalog import IndexWriter
from bolid_data.keyed import make_key
from bolid_data.shards.samples import photo_key
from bolid_data.shards.writer import EncodedSample, ShardWriter, member
from tests.support.gallery_people import PhotoOfPerson, draw_photos

PEOPLE, PHOTOS = 4, 9
_SIZE = (1200, 1800)
_MAX_SHARD = 1 << 30


def write_photos(data: Path) -> None:
    """Draws a few people and writes their photos to `data/shards`, all in split `train`."""
    shards = data / "shards"
    shards.mkdir(parents=True)
    index = IndexWriter(shards / "index.duckdb", make_key(data).fingerprint)
    writer = ShardWriter(shards, _MAX_SHARD, index)
    writer.begin("train")
    for photo in sorted(draw_photos(PEOPLE, PHOTOS, _SIZE), key=lambda photo: photo.person):
        writer.add(_sample(photo))
    index.add("shards", writer.close())
    index.close()


def _sample(photo: PhotoOfPerson) -> EncodedSample:
    sha256 = hashlib.sha256(photo.jpeg).hexdigest()
    key = photo_key(photo.person, sha256)
    record = {
        "person": photo.person,
        "sha256": sha256,
        "width": photo.width,
        "height": photo.height,
        "keypoints": photo.keypoints,
        "caption": photo.caption,
    }
    contents = {"jpg": photo.jpeg, "json": json.dumps(record).encode(), "txt": photo.caption.encode()}
    data = b"".join(chain.from_iterable(member(f"{key}.{name}", content) for name, content in contents.items()))
    return EncodedSample(data, {"key": key, **record, "made": "as_is", "captions": {}, "measures": {}, "rotation": 0})
