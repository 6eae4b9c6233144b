"""A dataset of drawn people, written as `bolid shard` writes it, so that these tests need nothing of the data
half."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import duckdb
import numpy as np
from PIL import Image, ImageDraw

from bolid_data.manifest import Manifest
from bolid_data.moved_keys import move
from bolid_train.settings import load, train_model
from tests.support.small_base import small_base

WIDTH, HEIGHT = 240, 320
COLOURS = ["red", "green", "blue", "orange", "purple", "teal"]
# COCO-17 of a standing figure, as fractions of the image.
FIGURE = np.array(
    [
        *[(0.50, 0.14), (0.52, 0.12), (0.48, 0.12), (0.54, 0.13), (0.46, 0.13), (0.60, 0.28), (0.40, 0.28)],
        *[(0.66, 0.42), (0.34, 0.42), (0.68, 0.55), (0.32, 0.55), (0.57, 0.55), (0.43, 0.55)],
        *[(0.58, 0.73), (0.42, 0.73), (0.58, 0.90), (0.42, 0.90)],
    ]
)
LIMBS = [
    (5, 7),
    (7, 9),
    (6, 8),
    (8, 10),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
    (5, 6),
    (11, 12),
    (5, 11),
    (6, 12),
]

Row = tuple[str, bytes, list[list[float]] | None, str]
"""split, JPEG, keypoints (17, 3), caption"""


def draw_person(seed: int) -> tuple[bytes, list[list[float]]]:
    """A JPEG of a figure and its keypoints."""
    random = np.random.default_rng(seed)
    points = (FIGURE + random.normal(0, 0.02, FIGURE.shape)) * (WIDTH, HEIGHT)
    image = Image.fromarray(random.integers(0, 80, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    pen = ImageDraw.Draw(image)
    for start, end in LIMBS:
        pen.line([tuple(points[start]), tuple(points[end])], fill=COLOURS[seed % len(COLOURS)], width=18)
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue(), [[float(x), float(y), 0.9] for x, y in points]


def write_shards(folder: Path, people: dict[str, list[Row]]) -> None:
    """One shard a split, and `index.duckdb`, by the format of the house."""
    folder.mkdir(parents=True)
    samples: list[tuple] = []
    for split in sorted({row[0] for rows in people.values() for row in rows}):
        shard = f"{split}-000000.tar"
        with tarfile.open(folder / shard, "w", format=tarfile.USTAR_FORMAT) as tar:
            for person, rows in sorted(people.items()):
                for jpeg, keypoints, caption in sorted((row[1:] for row in rows if row[0] == split), key=_sha256):
                    samples.append(_add(tar, split, shard, person, jpeg, keypoints, caption))
    with duckdb.connect(folder / "index.duckdb") as index:
        index.execute(
            "create table samples(key varchar, person varchar, sha256 varchar, split varchar, shard varchar, "
            '"offset" bigint, size bigint, width integer, height integer, caption varchar, keypoints float[3][17])'
        )
        index.executemany(f"insert into samples values ({', '.join('?' * 11)})", samples)


def _sha256(row: tuple) -> str:
    return hashlib.sha256(row[0]).hexdigest()


def _add(
    tar: tarfile.TarFile,
    split: str,
    shard: str,
    person: str,
    jpeg: bytes,
    keypoints: list | None,
    caption: str,
) -> tuple:
    sha256 = hashlib.sha256(jpeg).hexdigest()
    key = f"{person}-{sha256[:16]}"
    about = {"person": person, "sha256": sha256, "width": WIDTH, "height": HEIGHT, "keypoints": keypoints}
    start = tar.offset
    for extension, content in (
        ("jpg", jpeg),
        ("json", json.dumps(about | {"caption": caption}).encode()),
        ("txt", caption.encode()),
    ):
        member = tarfile.TarInfo(f"{key}.{extension}")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return (
        key, person, sha256, split, shard, start, tar.offset - start, WIDTH, HEIGHT, caption, keypoints,
    )  # fmt: skip


def drawn_people(counts: dict[str, int], split: str = "train") -> dict[str, list[Row]]:
    """`counts` photos of each person; no two splits have a photo in common."""
    first = 10_000 * ["train", "val", "test"].index(split)
    return {
        person: [
            (
                split,
                *draw_person(first + 100 * number + photo),
                f"a photo of a person in {COLOURS[number]}, number {photo}",
            )
            for photo in range(count)
        ]
        for number, (person, count) in enumerate(counts.items())
    }


def write_manifest(folder: Path, **train: object) -> Manifest:
    """A manifest with a small [train], on a base of random weights unless another is named. Keys of a method's table
    may be given like those of [train]."""
    bolid = {"body_dim": 32, "prior_steps": 1, "encoder_steps": 5}
    given = move(train, train_model().moved)
    settings = {"base": str(small_base()), "batch_size": 2, "views": 3, "checkpoint_every": 5, **given}
    settings["bolid"] = bolid | given.get("bolid", {})
    path = folder / "manifest.toml"
    path.write_text(f'name = "drawn"\nseed = 7\n[source]\nkind = "folder"\npath = "photos"\n{_toml(settings)}')
    return load(path)


def _toml(settings: dict) -> str:
    """`[train]`, and `[train.objective]` where it is among the settings."""
    sections = {"train": {key: value for key, value in settings.items() if not isinstance(value, dict)}}
    sections |= {f"train.{key}": value for key, value in settings.items() if isinstance(value, dict)}
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
        for name, section in sections.items()
    )
