"""Measuring photos, against the loop one writes first: every model on every file, one file at a time."""

import shutil
from pathlib import Path

import imagehash
import torch
from facenet_pytorch import MTCNN
from PIL import Image

from benchmarks.rows import Row, compare
from bolid_data import weights
from bolid_data.catalog import Catalog
from bolid_data.curate.duplicates import HashMeasurer
from bolid_data.curate.engine import measure
from bolid_data.curate.faces import FaceMeasurer
from bolid_data.curate.measure import Photo
from bolid_data.curate.people import PoseMeasurer, import_yolo
from bolid_data.curate.watermark import WatermarkMeasurer
from bolid_data.dataset import Dataset

PHOTOS = 64


def rows(dataset: Dataset, work: Path) -> list[Row]:
    with dataset.catalog.open() as con:
        found = con.execute(
            "SELECT sha256 FROM photos WHERE sha256 NOT IN (SELECT sha256 FROM undecodable) ORDER BY sha256 LIMIT ?",
            [PHOTOS],
        ).fetchall()
    files = [dataset.store.find(sha256) for (sha256,) in found]
    measurers = (HashMeasurer(), WatermarkMeasurer(), PoseMeasurer(), FaceMeasurer())
    yolo = import_yolo()(str(weights.find("yolo11n-pose").path))
    mtcnn = MTCNN(keep_all=True)
    watermark = WatermarkMeasurer()

    def ours() -> None:
        shutil.rmtree(work / "measure", ignore_errors=True)
        catalog = Catalog(work / "measure" / "catalog.duckdb")
        catalog.create()
        with catalog.open() as con:
            con.executemany("INSERT INTO photos VALUES (?, 'JPEG', 9999, 9999, 1)", [[path.stem] for path in files])
        measure(catalog, dataset.store, measurers, (0, 0))

    def plain() -> None:
        for path in files:
            with Image.open(path) as image:
                image.verify()
            yolo.predict(str(path), verbose=False)
            photo = Image.open(path).convert("RGB")
            with torch.inference_mode():
                mtcnn.detect(photo)
            imagehash.phash(photo)
            watermark.measure([Photo(path.stem, photo)])

    return compare(
        "filter: decode + 4 measurers → catalog",
        len(files),
        "photos/s",
        ours,
        {"open, verify, `YOLO.predict`, full-size MTCNN, phash, timm per file": plain},
    )
