"""`bolid caption`: the loop, over a real catalog, with the embedded describer and with captioners that fail."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest

from bolid_data import manifest as manifests
from bolid_data.curate.captions.captioner import CaptionError
from bolid_data.curate.captions.describe import Describer
from bolid_data.curate.captions.run import caption_photos
from bolid_data.curate.judge import judge
from bolid_data.curate.measurers.measurer import Keypoints, Photo
from bolid_data.errors import BolidError
from bolid_data.manifest import Filter, Manifest
from bolid_data.shards.write import shard
from tests.support.measured_dataset import MODELS, World, jpeg

TOLERANT = Filter(min_width=1, min_height=1, min_photos_per_person=1)


class Failing(Describer):
    """A describer that fails on some photos, alone or in a batch, and the first `transient` times."""

    def __init__(self, failing: Sequence[str] = (), transient: int = 0) -> None:
        super().__init__()
        self.failing, self.transient = set(failing), transient
        self.batch_sizes: list[int] = []

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        self.batch_sizes.append(len(photos))
        if bad := [photo.sha256 for photo in photos if photo.sha256 in self.failing]:
            raise CaptionError(f"describe: out of words at {bad[0][:4]}")
        if self.transient:
            self.transient -= 1
            raise CaptionError("describe: a transient failure")
        return super().caption(photos, keypoints)


Use = Callable[[Describer], Describer]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Makes `caption_photos` use a captioner."""

    def use(captioner: Describer) -> Describer:
        monkeypatch.setattr("bolid_data.curate.captions.run.load_captioner", lambda manifest: captioner)
        return captioner

    return use


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 10 kept photos of two people."""
    folder = tmp_path_factory.mktemp("kept")
    world = World(folder)
    for i in range(10):
        world.photo(f"p{i % 2}", width=60, height=70, data=jpeg(i, 60, 70))
    judge(world.dataset.catalog, TOLERANT, MODELS)
    return folder


Home = tuple[World, Manifest, list[str]]


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Home:
    """A copy of it, a manifest, and the photos' sha256s in the order in which they are captioned."""
    shutil.copytree(kept, tmp_path / "data")
    path = tmp_path / "m.toml"
    path.write_text(
        'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n[models]\ncaption = "describe"\n'
        "[caption]\nbatch_size = 4\n"
    )
    world = World(tmp_path / "data")
    return world, manifests.load(path), sorted(file.stem for file in world.dataset.store.files())


def rows(world: World, query: str) -> list[tuple[str, str]]:
    with world.dataset.catalog.open(read_only=True) as con:
        return con.execute(query).fetchall()


def captions(world: World) -> dict[str, str]:
    return dict(rows(world, "SELECT sha256, caption FROM captions"))


def failures(world: World) -> dict[str, str]:
    return dict(rows(world, "SELECT sha256, error FROM uncaptioned"))


def test_each_kept_photo_is_captioned_once(home: Home) -> None:
    world, manifest, sha256s = home
    out = world.photo("p2", watermark=0.99, data=jpeg(99, 60, 70))
    judge(world.dataset.catalog, TOLERANT, MODELS)
    first = caption_photos(manifest, world.dataset)
    assert (first["captioned"], first["failed"]) == (10, 0)
    assert sorted(captions(world)) == sha256s and out not in sha256s
    assert all(caption.startswith("a ") for caption in captions(world).values())
    assert caption_photos(manifest, world.dataset)["captioned"] == 0


def test_photos_go_in_batches_of_the_manifests_size(home: Home, use: Use) -> None:
    world, manifest, _ = home
    captioner = use(Failing())
    caption_photos(manifest, world.dataset)
    assert captioner.batch_sizes == [4, 4, 2]


def test_a_batch_that_fails_once_costs_nothing(home: Home, use: Use) -> None:
    world, manifest, sha256s = home
    captioner = use(Failing(transient=1))
    assert caption_photos(manifest, world.dataset)["failed"] == 0
    assert captioner.batch_sizes == [4, 4, 4, 2]
    assert sorted(captions(world)) == sha256s and not failures(world)


def test_a_photo_that_cannot_be_captioned_does_not_affect_the_others(
    home: Home, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    world, manifest, sha256s = home
    bad = sha256s[5]
    captioner = use(Failing([bad]))
    result = caption_photos(manifest, world.dataset)
    assert (result["captioned"], result["failed"]) == (9, 1)
    assert captioner.batch_sizes == [4, 4, 4, 1, 1, 1, 1, 2]  # the second batch, again, and its photos
    assert sorted(captions(world)) == sorted(set(sha256s) - {bad})
    assert failures(world) == {bad: f"describe: out of words at {bad[:4]}"}
    stderr = capsys.readouterr().err
    assert f"1 photo could not be captioned: describe: out of words at {bad[:4]}" in stderr


def test_failed_photos_are_tried_again_last_and_their_errors_removed(home: Home, use: Use) -> None:
    world, manifest, sha256s = home
    use(Failing(sha256s[:2]))
    caption_photos(manifest, world.dataset)
    late = world.photo("p2", width=60, height=70, data=jpeg(77, 60, 70))
    judge(world.dataset.catalog, TOLERANT, MODELS)
    captioner = use(Failing())
    world.dataset.catalog.captions.choose_captioner(captioner.model, captioner.prompt)
    uncaptioned = world.dataset.catalog.captions.uncaptioned()
    assert uncaptioned == [late, *sha256s[:2]]
    assert caption_photos(manifest, world.dataset)["captioned"] == 3
    assert not failures(world) and len(captions(world)) == 11


def test_it_is_an_error_if_no_photo_can_be_captioned_but_not_if_the_last_ones_cannot(home: Home, use: Use) -> None:
    world, manifest, sha256s = home
    use(Failing(sha256s))
    with pytest.raises(BolidError, match="none of 10 photos could be captioned: describe: out of words"):
        caption_photos(manifest, world.dataset)
    assert len(failures(world)) == 10
    use(Failing(sha256s[:1]))
    caption_photos(manifest, world.dataset)
    assert caption_photos(manifest, world.dataset)["failed"] == 1


def test_shards_and_lock_leave_out_photos_that_could_not_be_captioned(
    home: Home, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    world, manifest, sha256s = home
    bad = sha256s[3]
    use(Failing([bad]))
    caption_photos(manifest, world.dataset)
    shard(manifest, world.dataset)
    assert "1 kept photo is left out" in capsys.readouterr().err
    with duckdb.connect(world.dataset.index, read_only=True) as con:
        sharded = [sha256 for (sha256,) in con.execute("SELECT sha256 FROM samples ORDER BY 1").fetchall()]
    assert sharded == [sha256 for sha256 in sha256s if sha256 != bad]
    pinned = {photo["sha256"]: photo["kept"] for photo in world.dataset.catalog.lock_content.read()["photos"]}
    assert pinned == {sha256: sha256 != bad for sha256 in sha256s}


def test_photos_that_no_captioner_has_tried_are_still_missing(home: Home, use: Use) -> None:
    world, manifest, sha256s = home
    use(Failing(sha256s[:1]))
    caption_photos(manifest, world.dataset)
    world.photo("p2", width=60, height=70, data=jpeg(78, 60, 70))
    judge(world.dataset.catalog, TOLERANT, MODELS)
    with pytest.raises(BolidError, match="1 kept photo has no caption"):
        shard(manifest, world.dataset)


def test_a_kept_photo_that_lost_its_bytes_is_named_once_the_others_are_captioned(home: Home) -> None:
    world, manifest, sha256s = home
    world.dataset.store.find(sha256s[9]).write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(BolidError, match=r"1 kept photo lost its bytes.*bolid dataset"):
        caption_photos(manifest, world.dataset)
    assert captions(world).keys() == set(sha256s) - {sha256s[9]}


def test_a_killed_run_resumes_where_it_stopped(home: Home) -> None:
    world, manifest, sha256s = home
    slow = f"""
import time
from pathlib import Path
from bolid_data import manifest
from bolid_data.curate.captions import describe, run
from bolid_data.dataset import Dataset
class Slow(describe.Describer):
    def caption(self, photos, keypoints):
        time.sleep(0.5)
        return ["by the first run"] * len(photos)
run.load_captioner = lambda manifest: Slow()
run.caption_photos(manifest.load(Path({str(manifest.path)!r})), Dataset(Path({str(world.dataset.root)!r})))
"""
    with subprocess.Popen([sys.executable, "-c", slow], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(captions(world)) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    before = captions(world)
    assert 4 <= len(before) < 10 and len(before) % 4 == 0  # complete batches
    assert caption_photos(manifest, world.dataset)["captioned"] == 10 - len(before)
    after = captions(world)
    assert sorted(after) == sha256s
    assert {sha256 for sha256, caption in after.items() if caption == "by the first run"} == set(before)
