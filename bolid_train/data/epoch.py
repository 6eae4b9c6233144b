"""Photos in the order of the shards, as an epoch needs them: whole tars by `webdataset`, the rest by ranged reads.

A tar may come from a stranger. `webdataset` opens one with tarfile's mode "r|*", which unpacks what is compressed, and
a sparse or an endless member to any length; so a tar is read whole only after its headers have shown that it is what
`bolid shard` writes. Any other, and any sample that such a read does not give, is read by its piece, which is bounded.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import attrgetter
from tarfile import TarError
from typing import BinaryIO

from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_expander

from bolid_data.errors import BolidError
from bolid_data.members import at_end, extensions
from bolid_train.data.shard_dataset import Sample, Shards

Photo = Image.Image | BolidError
"""A photo, or why it cannot be read."""


def read_photos(shards: Shards, samples: Iterable[Sample]) -> Iterator[tuple[Sample, Photo]]:
    """Every sample with its photo, in the order of `samples`; one photo at a time is held.

    A shard is read whole where the samples that follow each other are all that it holds, in its own order. A tar of a
    remote store is copied to a temporary file for that, one at a time; where it is too large to copy, its samples are
    read by their pieces.
    """
    for _, group in groupby(samples, key=attrgetter("shard")):
        wanted = list(group)
        with closing(_read_tar(shards, wanted)) as streamed:
            for sample in wanted:
                key, jpeg = next(streamed, ("", b""))
                if key != sample.key:
                    streamed.close()  # the tar is not what it was when its headers were read
                yield sample, _photo(shards, sample, jpeg if key == sample.key else None)


def _photo(shards: Shards, sample: Sample, jpeg: bytes | None) -> Photo:
    try:
        return shards.photo(sample) if jpeg is None else shards.decode(sample, jpeg)
    except BolidError as error:
        return error


def _read_tar(shards: Shards, wanted: Sequence[Sample]) -> Generator[tuple[str, bytes], None, None]:
    """Keys and JPEGs of a whole tar, in its order; nothing, or no more, where that cannot be done."""
    if not _are_consecutive(wanted):
        return
    shard, end = wanted[0].shard, wanted[-1].offset + wanted[-1].size
    try:
        with shards.open(shard, end) as file:
            if not _is_as_expected(file, wanted, end):
                return
            file.seek(0)
            # Not by its name: webdataset would take one with braces for several, and one with a colon for an address.
            files = tar_file_expander([{"url": shard, "stream": file}])
            for sample in group_by_keys(files):
                yield sample["__key__"], sample["jpg"]
    except (BolidError, OSError, TarError, ValueError):
        return  # the ranged reads will name what is wrong, sample by sample


def _are_consecutive(wanted: Sequence[Sample]) -> bool:
    """By the index alone: do the samples stand one behind the other, from the first byte of their tar on?"""
    ends = [0, *(sample.offset + sample.size for sample in wanted)]
    return all(sample.offset == end for sample, end in zip(wanted, ends, strict=False))


def _is_as_expected(file: BinaryIO, wanted: Sequence[Sample], end: int) -> bool:
    """Do the samples fill the tar, each with the same regular files of its name, a photo among them?"""
    members = {extensions(file, sample.key, sample.offset, sample.offset + sample.size) for sample in wanted}
    return len(members) == 1 and "jpg" in members.pop() and at_end(file, end)
