"""Writing shards against `webdataset.TarWriter`, and reading a view at random against what others do."""

import io
import json
import random
import shutil
import tarfile
from pathlib import Path

import webdataset
from PIL import Image

from benchmarks.rows import Row, compare
from bolid_data.dataset import Dataset
from bolid_data.manifest import Manifest
from bolid_data.shards.write import shard
from bolid_train.views import Shards

VIEWS = 200


def rows(manifest: Manifest, dataset: Dataset, work: Path) -> list[Row]:
    samples = [(person, row) for person, _ in dataset.catalog.people_kept() for row in dataset.catalog.samples(person)]
    size = sum(dataset.store.find(row["sha256"]).stat().st_size for _, row in samples) / 1e6

    def plain() -> None:
        with webdataset.TarWriter(str(work / "plain.tar"), encoder=False) as writer:
            for person, row in samples:
                data = dataset.store.find(row["sha256"]).read_bytes()
                with Image.open(io.BytesIO(data)) as image:
                    facts = {"person": person, "width": image.width, "height": image.height, "caption": row["caption"]}
                text = json.dumps(facts).encode()
                key = f"{person}-{row['sha256'][:16]}"
                writer.write({"__key__": key, "jpg": data, "json": text, "txt": row["caption"].encode()})

    written = compare(
        "shard: tars + index + lock + measurements",
        size,
        "MB/s",
        lambda: shard(manifest, dataset),
        {"`webdataset.TarWriter`, tar only": plain},
    )
    return written + _reading(dataset, work)


def _reading(dataset: Dataset, work: Path) -> list[Row]:
    """Views of one person chosen at random; each alternative hands over the same number of photos' bytes."""
    shards = Shards(dataset.shards)
    views = [view for split in ("train", "val", "test") for own in shards.people(split).values() for view in own]
    chosen = [random.Random(0).choice(views) for _ in range(VIEWS)]
    files = work / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    tars = sorted(dataset.shards.glob("*.tar"))
    for path in tars:
        with tarfile.open(path) as tar:
            tar.extractall(files, filter="data")

    def ours() -> None:
        for view in chosen:
            shards.photo(view)

    def one_file_each() -> None:
        for view in chosen:
            Image.open(files / f"{view.key}.jpg").load()

    def sequential() -> None:
        read = 0
        while read < VIEWS:
            for sample in webdataset.WebDataset([str(path) for path in tars], shardshuffle=False).decode("pil"):
                sample["jpg"].load()
                read += 1
                if read == VIEWS:
                    return

    return compare(
        "loader: a random view, decoded",
        VIEWS,
        "views/s",
        ours,
        {
            "one file per photo, Pillow": one_file_each,
            "`webdataset`, in order (no choice of person)": sequential,
        },
    )
