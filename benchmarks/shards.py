"""Writing shards, compared with `webdataset.TarWriter`, and reading random samples, compared with alternatives."""

import hashlib
import io
import json
import random
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import webdataset
from PIL import Image

from benchmarks.rows import Row, compare
from bolid_data.catalog import insert
from bolid_data.dataset import Dataset
from bolid_data.manifest import Manifest
from bolid_data.shards.write import shard
from bolid_train.data.shard_dataset import ShardDataset

PEOPLE, PHOTOS = 8, 50
"""The dataset that is written: 400 photos of about a megabyte, a quarter of them with EXIF."""
READS = 200


def rows(manifest: Manifest, dataset: Dataset, work: Path) -> list[Row]:
    """Writing is timed on a larger dataset, reading on `dataset`."""
    return _writing(manifest, work) + _reading(dataset, work)


def _writing(manifest: Manifest, work: Path) -> list[Row]:
    dataset = synthetic_dataset(work / "shards")
    people = [person for person, *_ in dataset.catalog.measurements.people_to_shard()]
    samples = dataset.catalog.samples.kept_photos(people)
    size = sum(dataset.store.find(row["sha256"]).stat().st_size for row in samples) / 1e6

    def plain() -> None:
        with webdataset.TarWriter(str(work / "plain.tar"), encoder=False) as writer:
            for row in samples:
                data = dataset.store.find(row["sha256"]).read_bytes()
                with Image.open(io.BytesIO(data)) as image:
                    record = {
                        "person": row["person"],
                        "width": image.width,
                        "height": image.height,
                        "caption": row["caption"],
                    }
                text = json.dumps(record).encode()
                key = f"{row['person']}-{row['sha256'][:16]}"
                writer.write({"__key__": key, "jpg": data, "json": text, "txt": row["caption"].encode()})

    return compare(
        f"shard: {size:.0f} MB, without EXIF, + index + lock + measurements",
        size,
        "MB/s",
        lambda: shard(manifest, dataset),
        {"`webdataset.TarWriter`, tar only, photos unchanged": plain},
    )


def synthetic_dataset(root: Path) -> Dataset:
    """A dataset of photos with the grain of a camera, as if collected, kept and captioned."""
    dataset = Dataset(root)
    dataset.catalog.create()
    encoded = [_photo(seed) for seed in range(8)]
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in ("photos", "detections", "judged", "captioned")}
    for number in range(PEOPLE * PHOTOS):
        photo = encoded[number % len(encoded)]
        mark = number.to_bytes(2, "big")
        exif = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\0\x04ABC\0\0\0\0\0"
        # The density in the first segment makes each photo unique.
        data = photo[:14] + mark + photo[16:20] + (exif if number % 4 == 0 else b"") + photo[20:]
        sha256 = hashlib.sha256(data).hexdigest()
        (root / "photo").write_bytes(data)
        dataset.store.add(root / "photo", sha256, "jpg")
        tables["photos"].append({"sha256": sha256, "format": "JPEG", "width": 1200, "height": 1600, "bytes": len(data)})
        detection = {"model": "pose", "kind": "person", "score": 0.9, "box": [0.0, 0.0, 9.0, 9.0]}
        tables["detections"].append({"sha256": sha256, **detection, "keypoints": [[9.5, 9.5, 0.9]] * 17})
        tables["judged"].append({"person": f"p{number // PHOTOS}", "sha256": sha256, "kept": True, "reasons": []})
        tables["captioned"].append({"sha256": sha256, "model": "c", "prompt": "", "caption": f"a photo {number}"})
    tables["judgement"] = [{"thresholds": "{}", "pose": "pose", "face": "f", "watermark": "w", "hash": "h"}]
    tables["captioner"] = [{"model": "c", "prompt": ""}]
    with dataset.catalog.open() as con:
        for table, rows_of_table in tables.items():
            insert(con, table, rows_of_table)
    return dataset


def _photo(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    rough = Image.fromarray(random.integers(0, 255, (8, 6, 3), dtype=np.uint8)).resize((1200, 1600))
    grain = random.normal(0, 14, (1600, 1200, 3))
    out = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(rough) + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=93)
    return out.getvalue()


def _reading(dataset: Dataset, work: Path) -> list[Row]:
    """Reads random samples; each alternative reads the same number of photos."""
    shards = ShardDataset(dataset.shards)
    samples = [
        sample
        for split in ("train", "val", "test")
        for of_person in shards.people(split).values()
        for sample in of_person
    ]
    chosen = [random.Random(0).choice(samples) for _ in range(READS)]
    files = work / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    tars = sorted(dataset.shards.glob("*.tar"))
    for path in tars:
        with tarfile.open(path) as tar:
            tar.extractall(files, filter="data")

    def ours() -> None:
        for sample in chosen:
            shards.photo(sample)

    def one_file_each() -> None:
        for sample in chosen:
            Image.open(files / f"{sample.key}.jpg").load()

    def sequential() -> None:
        count = 0
        while count < READS:
            for sample in webdataset.WebDataset([str(path) for path in tars], shardshuffle=False).decode("pil"):
                sample["jpg"].load()
                count += 1
                if count == READS:
                    return

    return compare(
        "loader: a random photo, decoded",
        READS,
        "photos/s",
        ours,
        {
            "one file per photo, Pillow": one_file_each,
            "`webdataset`, in order (no choice of person)": sequential,
        },
    )
