"""An epoch read whole is what ranged reads give, and a tar that a stranger made is never unpacked."""

import gzip
import io
import lzma
import shutil
import tarfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from PIL import Image

from bolid_data.shards.write import shard
from bolid_train.data import epoch, range_reader
from bolid_train.data.epoch import PhotoOrError, read_photos
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.shard_dataset import Sample, ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.training.step import training_features
from tests.bolid_data.shards.test_shards import finish, manifest, tars
from tests.support.drawn_shards import draw_person, drawn_people, write_manifest, write_shards
from tests.support.measured_dataset import World, jpeg


def all_samples(shards: ShardDataset) -> list[Sample]:
    return [sample for photos in shards.people("train").values() for sample in photos]


def shown(photo: PhotoOrError) -> bytes | str:
    return photo.tobytes() if isinstance(photo, Image.Image) else str(photo)


def by_pieces(shards: ShardDataset, samples: list[Sample]) -> list[bytes | str]:
    """What ranged reads alone give: pixels, or why there are none."""
    return [shown(epoch._photo(shards, sample, None)) for sample in samples]


def as_epoch(shards: ShardDataset, samples: list[Sample]) -> list[bytes | str]:
    read = list(read_photos(shards, samples))
    assert [sample for sample, _ in read] == samples
    return [shown(photo) for _, photo in read]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tars that webdataset was given."""
    names: list[str] = []

    def remember(sources: list[dict[str, Any]]) -> Any:
        names.extend(source["url"] for source in sources)
        return expand(sources)

    expand = epoch.tar_file_expander
    monkeypatch.setattr(epoch, "tar_file_expander", remember)
    return names


def test_tars_as_they_are_sharded_are_read_whole(tmp_path: Path, opened: list[str]) -> None:
    world = World(tmp_path / "data")
    # Their keys sort otherwise than their names, and a long one needs a header of its own.
    people = ("anna", "anna-1", "anna_b", "anna0", "b" * 80)
    for number, person in enumerate(people):
        for shot in range(5):
            world.photo(person, data=jpeg(10 * number + shot, 300, 400))
    finish(world)
    shard(manifest(tmp_path, "max_size = 60_000\nsplits = { train = 1.0 }"), world.dataset)
    shards = ShardDataset(world.dataset.shards)
    samples = all_samples(shards)
    expected = by_pieces(shards, samples)
    assert as_epoch(shards, samples) == expected and len(expected) == 25
    names = [path.name for path in tars(world)]
    assert opened == names and len(names) > 3

    del opened[:]
    assert as_epoch(shards, samples[1:-1]) == expected[1:-1]
    assert opened == names[1:-1], "a part of a tar is read by pieces"
    del opened[:]
    assert as_epoch(shards, samples[::-1]) == expected[::-1]
    sizes = Counter(sample.shard for sample in samples)
    assert opened == [name for name in reversed(names) if sizes[name] == 1], "and so is one in another order"


def test_one_sample_at_a_time_is_held(tmp_path: Path) -> None:
    noise = Image.effect_noise((320, 320), 100)
    out = io.BytesIO()
    noise.save(out, "JPEG", quality=95)
    rows = [("train", out.getvalue() + bytes([shot]), draw_person(0)[1], "a photo") for shot in range(60)]
    write_shards(tmp_path / "shards", {"anna": rows})
    shards = ShardDataset(tmp_path / "shards")
    samples = all_samples(shards)
    size = sum(sample.size for sample in samples)
    list(read_photos(shards, samples[:1]))
    tracemalloc.start()
    for _ in read_photos(shards, samples):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 6


def member(name: str, content: bytes = b"", **about: Any) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in about.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def bomb(name: str) -> bytes:
    """A sparse member of 8 GB."""
    head = bytearray(member(name, type=tarfile.GNUTYPE_SPARSE, size=512)[:512])
    head[386:398], head[398:410], head[483:495] = b"00000000000\0", b"00000001000\0", b"77777777777\0"
    head[148:156] = b" " * 8
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    return bytes(head)


Change = Callable[[bytes, Sample], bytes]
"""A tar's bytes and its second sample → other bytes."""


def over(head: Callable[[str], bytes], extension: str = "jpg") -> Change:
    """Puts a header in place of one of the sample's."""

    def change(tar: bytes, sample: Sample) -> bytes:
        name = f"{sample.key}.{extension}"
        at, new = tar.index(name.encode() + b"\0"), head(name)
        return tar[:at] + new + tar[at + len(new) :]

    return change


def before(first: Callable[[str], bytes]) -> Change:
    """Moves the tar back by what is put at its beginning."""
    return lambda tar, sample: first(sample.key) + tar


STRANGE: dict[str, Change] = {
    "gzip": lambda tar, _: gzip.compress(tar),
    "xz": lambda tar, _: lzma.compress(tar),
    "a bomb": lambda tar, _: gzip.compress(tar + bytes(10**7)),
    "sparse": over(bomb),
    "sparse json": over(bomb, "json"),
    "endless": over(lambda name: member(name, size=2**33 - 1)),
    "endless, in base 256": over(lambda name: member(name, size=2**60)),
    "symbolic link": over(lambda name: member(name, type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "hard link": over(lambda name: member(name, type=tarfile.LNKTYPE, linkname="/etc/passwd")),
    "device": over(lambda name: member(name, type=tarfile.CHRTYPE)),
    "fifo": over(lambda name: member(name, type=tarfile.FIFOTYPE)),
    "folder": over(lambda name: member(name, type=tarfile.DIRTYPE)),
    "pax": over(lambda name: member(name, type=tarfile.XHDTYPE, size=512)),
    "a long name without end": over(lambda name: member(name, type=tarfile.GNUTYPE_LONGNAME, size=10**9)),
    "a way out": over(lambda _: member("../../victim.jpg", size=10)),
    "another name": over(lambda name: member(name.replace(".jpg", ".png"), size=10)),
    "another's name": over(lambda _: member("boris-0000000000000000.jpg", size=10)),
    "the name again": over(lambda name: member(name.replace(".txt", ".jpg"), size=3), "txt"),
    "too short": over(lambda name: member(name, size=1)),
    "zeros": over(lambda _: bytes(512)),
    "ones": over(lambda _: b"\xff" * 512),
    "cut": lambda tar, sample: tar[: sample.offset + 700],
    "cut at a header": lambda tar, sample: tar[: sample.offset],
    "empty": lambda *_: b"",
    "one more before": before(lambda key: member(f"{key}.png", b"x")),
    "one more behind": lambda tar, sample: tar.rstrip(b"\0").ljust(sample.offset, b"\0") + member("more.jpg", b"x"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_tar_that_is_not_as_the_index_says_is_read_by_pieces(
    name: str, tmp_path: Path, opened: list[str], dataset: Path
) -> None:
    folder = Path(shutil.copytree(dataset / "shards", tmp_path / "shards"))
    tar, samples = folder / "train-000000.tar", all_samples(ShardDataset(folder))
    last = samples[-1].offset + samples[-1].size
    changed = STRANGE[name](tar.read_bytes()[: last if name == "one more behind" else None], samples[1])
    tar.write_bytes(changed)
    shards = ShardDataset(folder)
    assert as_epoch(shards, samples) == by_pieces(shards, samples)
    assert opened == []


def test_a_photo_that_is_damaged_is_named_and_the_rest_is_read(
    dataset: Path, tmp_path: Path, opened: list[str]
) -> None:
    folder = Path(shutil.copytree(dataset / "shards", tmp_path / "shards"))
    samples = all_samples(ShardDataset(folder))
    with (folder / "train-000000.tar").open("r+b") as tar:
        tar.seek(samples[2].offset + 512)
        tar.write(bytes(2000))
    shards = ShardDataset(folder)
    found = as_epoch(shards, samples)
    assert found == by_pieces(shards, samples) and opened == ["train-000000.tar"]
    assert [type(photo) for photo in found].count(str) == 1 and samples[2].key in str(found[2])


def test_a_tar_that_changes_while_it_is_read_is_gone_on_with_by_pieces(
    dataset: Path, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch, "_is_as_expected", lambda *_: True)
    folder = Path(shutil.copytree(dataset / "shards", tmp_path / "shards"))
    tar, samples = folder / "train-000000.tar", all_samples(ShardDataset(folder))
    whole = tar.read_bytes()
    swapped = member("more.jpg", b"x")
    for changed in (
        whole[: samples[3].offset] + b"\xff" * 512 + whole[samples[3].offset + 512 :],
        whole[: samples[3].offset] + swapped + whole[samples[3].offset + len(swapped) :],
        whole[: samples[3].offset + 800],
        whole[: samples[3].offset],
    ):
        tar.write_bytes(changed)
        shards = ShardDataset(folder)
        found = as_epoch(shards, samples)
        assert found == by_pieces(shards, samples)
        assert all(isinstance(photo, bytes) for photo in found[:3])
    assert len(opened) == 4


@pytest.mark.parametrize("name", ["a{0..3}b", "pipe:true", "a%20b", "http:"])
def test_the_folders_name_is_a_name(name: str, dataset: Path, tmp_path: Path, opened: list[str]) -> None:
    shards = ShardDataset(Path(shutil.copytree(dataset / "shards", tmp_path / name)))
    assert as_epoch(shards, all_samples(shards)) == by_pieces(shards, all_samples(shards))
    assert opened == ["train-000000.tar"]


def test_a_tar_in_s3_is_one_request_and_leaves_no_copy(
    bucket: tuple[str, list[dict[str, Any]]], dataset: Path, tmp_path: Path, opened: list[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    address, sent = bucket
    here, there = ShardDataset(dataset / "shards"), ShardDataset(address)
    samples = all_samples(there)
    sent.clear()
    assert as_epoch(there, samples) == by_pieces(here, samples)
    end = samples[-1].offset + samples[-1].size
    assert [request["Range"] for request in sent] == [f"bytes=0-{end + 511}"]
    assert opened == ["train-000000.tar"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["index.duckdb"]
    sent.clear()
    monkeypatch.setattr(range_reader, "_MAX_COPY", end - 1)
    assert as_epoch(there, samples) == by_pieces(here, samples)
    assert len(sent) == len(samples), "a large one is read by pieces"


def test_a_tar_in_a_store_that_ends_early_is_read_by_pieces(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_reader, "_CHUNK", 1000)
    store = fsspec.filesystem("memory")
    store.put(str(dataset / "shards"), "/epoch/shards", recursive=True)
    shards = ShardDataset("memory://epoch/shards")
    samples = all_samples(shards)
    whole = store.cat_file("/epoch/shards/train-000000.tar")
    expected = by_pieces(shards, samples)
    assert as_epoch(shards, samples) == expected
    store.pipe_file("/epoch/shards/train-000000.tar", whole[: samples[3].offset + 700])
    assert as_epoch(shards, samples) == by_pieces(shards, samples) != expected
    store.rm("/epoch/shards/train-000000.tar")
    assert as_epoch(shards, samples) == by_pieces(shards, samples)


def test_features_are_the_same_bit_for_bit(tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path / "shards", drawn_people({"anna": 7, "anna-1": 5, "anna_b": 1, "boris": 6}))
    with (tmp_path / "shards" / "train-000000.tar").open("r+b") as tar:
        broken = ShardDataset(tmp_path / "shards").people("train")["anna"][2]
        tar.seek(broken.offset + 512)
        tar.write(bytes(2000))
    settings = write_manifest(tmp_path).train

    def fill(root: Path) -> dict[str, bytes]:
        shards, cache = (
            ShardDataset(tmp_path / "shards"),
            FeatureCache(root, Base.resolve(settings, tmp_path), settings, training_features(settings, tmp_path)),
        )
        monkeypatch.setattr("bolid_train.data.features.cache._MAX_BROKEN", 0.1)
        cache.fill(shards, shards.people("train"), torch.device("cpu"))
        return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("*/*/*")}

    whole = fill(tmp_path / "whole")
    assert opened == ["train-000000.tar"] and len(whole) == 19 + 4 * 18 + 1
    for path in sorted((tmp_path / "whole").glob("*/*/*.safetensors"))[9:13]:
        path.unlink()
    del opened[:]
    assert fill(tmp_path / "whole") == whole and opened == [], "what a killed run left is read by pieces"
    monkeypatch.setattr(epoch, "_read_tar", lambda *_: (pair for pair in ()))
    assert fill(tmp_path / "pieces") == whole
