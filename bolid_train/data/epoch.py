"""Photos in shard order, for a pass over the dataset: whole tars through `webdataset`, the rest by ranged reads.

A tar may be untrusted. `webdataset` opens it in tarfile's mode "r|*", which decompresses it and expands a sparse or
endless member to any length, so a tar is read whole only if its headers match what `bolid shard` writes. Any other tar,
and any sample missing from such a read, is read by range, which is bounded.
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
from bolid_train.data.shard_dataset import Sample, ShardDataset

PhotoOrError = Image.Image | BolidError
"""A photo, or the reason why it cannot be read."""


def read_photos(shards: ShardDataset, samples: Iterable[Sample]) -> Iterator[tuple[Sample, PhotoOrError]]:
    """Yields every sample with its photo, in the order of `samples`; one photo at a time is in memory.

    A shard is read whole if consecutive samples are all its samples, in its order. A remote tar is copied to a
    temporary file for that, one at a time; if it is too large to copy, its samples are read by range.
    """
    for _, group in groupby(samples, key=attrgetter("shard")):
        wanted = list(group)
        with closing(_read_tar(shards, wanted)) as streamed:
            for sample in wanted:
                key, jpeg = next(streamed, ("", b""))
                if key != sample.key:
                    streamed.close()  # the tar has changed since its headers were read
                yield sample, _photo(shards, sample, jpeg if key == sample.key else None)


def _photo(shards: ShardDataset, sample: Sample, jpeg: bytes | None) -> PhotoOrError:
    try:
        return shards.photo(sample) if jpeg is None else shards.decode(sample, jpeg)
    except BolidError as error:
        return error


def _read_tar(shards: ShardDataset, wanted: Sequence[Sample]) -> Generator[tuple[str, bytes], None, None]:
    """Keys and JPEGs of a whole tar, in its order; stops early, or yields nothing, if it cannot be read that way."""
    if not _are_consecutive(wanted):
        return
    shard, end = wanted[0].shard, wanted[-1].offset + wanted[-1].size
    try:
        with shards.open(shard, end) as file:
            if not _is_as_expected(file, wanted, end):
                return
            file.seek(0)
            # Not by name: webdataset expands braces to several names, and takes a name with a colon for a URL.
            files = tar_file_expander([{"url": shard, "stream": file}])
            for sample in group_by_keys(files):
                yield sample["__key__"], sample["jpg"]
    except (BolidError, OSError, TarError, ValueError):
        return  # the ranged reads report what is wrong, sample by sample


def _are_consecutive(wanted: Sequence[Sample]) -> bool:
    """Whether, by the index alone, the samples are contiguous from the first byte of their tar."""
    ends = [0, *(sample.offset + sample.size for sample in wanted)]
    return all(sample.offset == end for sample, end in zip(wanted, ends, strict=False))


def _is_as_expected(file: BinaryIO, wanted: Sequence[Sample], end: int) -> bool:
    """Whether the samples fill the tar, each with the same regular files under its key, a photo among them."""
    members = {extensions(file, sample.key, sample.offset, sample.offset + sample.size) for sample in wanted}
    return len(members) == 1 and "jpg" in members.pop() and at_end(file, end)
