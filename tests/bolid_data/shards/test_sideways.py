"""Photos that lie on their side, turned on request: the pixels and keypoints in shards, the index, the lock."""

import io
import json
import tarfile
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

from bolid_data.curate.judge import judge
from bolid_data.manifest import Filter
from bolid_data.shards.lock import verify
from bolid_data.shards.write import shard
from tests.bolid_data.shards.test_shards import finish, manifest
from tests.support.measured_dataset import MODELS, World, view

TURNING = Filter(min_photos_per_person=1, turn_sideways=True, min_width=800, min_height=800)
STANDING = view()
WIDTH, HEIGHT = 1000, 1200
TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


def lying(rotation: int) -> tuple[bytes, list[list[float]]]:
    """A photo, blue above, that has to be turned clockwise by `rotation`, and its keypoints."""
    upright = Image.new("RGB", (WIDTH, HEIGHT), "red")
    upright.paste((0, 0, 255), (0, 0, WIDTH, 300))
    points = {
        90: [[y, WIDTH - x, c] for x, y, c in STANDING],
        180: [[WIDTH - x, HEIGHT - y, c] for x, y, c in STANDING],
        270: [[HEIGHT - y, x, c] for x, y, c in STANDING],
    }[rotation]
    out = io.BytesIO()
    upright.transpose(TURNS[rotation]).save(out, "JPEG", quality=95)
    return out.getvalue(), points


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_shard_turns_the_photo_and_its_keypoints(tmp_path: Path, rotation: int) -> None:
    world = World(tmp_path / "data")
    data, points = lying(rotation)
    size = (WIDTH, HEIGHT) if rotation == 180 else (HEIGHT, WIDTH)
    sha256 = world.photo(width=size[0], height=size[1], data=data, keypoints=points)
    finish(world)  # without turning, it is out
    assert world.verdicts()[sha256] == ["sideways"]
    judge(world.dataset.catalog, TURNING, MODELS)
    assert world.verdicts()[sha256] == []
    world.dataset.catalog.captions.record_captions("captioner@1", "", {sha256: "a photo"})

    shard(manifest(tmp_path, "splits = { train = 1.0 }"), world.dataset)
    with duckdb.connect(world.dataset.index, read_only=True) as con:
        assert con.execute("SELECT rotation, width, height FROM samples").fetchall() == [(rotation, WIDTH, HEIGHT)]
        (made,) = con.execute("SELECT made FROM samples").fetchone() or ("",)
    assert made == f"converted: sideways, turned by {rotation}"
    with tarfile.open(next(world.dataset.shards.glob("*.tar"))) as tar:
        members = {Path(name).suffix: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    pixels = np.asarray(Image.open(io.BytesIO(members[".jpg"])))
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels[50, 500, 2] > 200 > 50 > pixels[1150, 500, 2]
    assert json.loads(members[".json"])["keypoints"] == [pytest.approx(point, abs=0.01) for point in STANDING]
    assert verify(world.dataset) == []


def test_an_upright_photo_is_not_touched(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    sha256 = world.photo(keypoints=STANDING)
    judge(world.dataset.catalog, TURNING, MODELS)
    with world.dataset.catalog.open(read_only=True) as con:
        assert con.execute("SELECT kept, rotation FROM judged WHERE sha256 = ?", [sha256]).fetchall() == [(True, 0)]
