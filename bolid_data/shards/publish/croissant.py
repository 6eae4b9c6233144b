"""Croissant: the description of a dataset that other tools read (docs.mlcommons.org/croissant), as JSON-LD.

A record joins a row of `samples.parquet` with its JPEG in a tar by the sample's key, as readers of Croissant join two
sources, and not the three members of a sample in a tar.
"""

import datetime
import json
from collections.abc import Iterator
from typing import Any

from bolid_data.shards.publish.contents import Contents
from bolid_data.shards.publish.words import (
    collection,
    collection_types,
    description,
    limitations,
    preprocessing,
    sensitive,
    uses,
)

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]

_TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
    "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
    "subField", "transform",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _TERMS},
}

_COLUMNS = {
    "person": ("sc:Text", "The person on the photo: a slug, the same for all of the person's photos."),
    "sha256": ("sc:Text", "The sha256 of the original photo, which may have been converted for the shard."),
    "width": ("sc:Integer", "Width of the JPEG in pixels."),
    "height": ("sc:Integer", "Height of the JPEG in pixels."),
    "caption": ("sc:Text", "The caption in use."),
}

_KEY_OF_FILE = r"^([a-z0-9_-]+)(?:\.jpg)?$"
"""Also matches a key, as readers may apply it twice."""


def croissant(contents: Contents, url: str, table_sha256: str, table_bytes: int, today: datetime.date) -> bytes:
    """The content of `croissant.json`. Files are named relative to it, so that it describes a copy of the repository
    wherever that is."""
    content = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": contents.name,
        "description": description(contents),
        "license": contents.licence or "See README.md: the photos may be used as the people on them agreed to.",
        "url": url,
        "version": "1.0.0",
        "citeAs": f"{contents.name}, {url}, lock {contents.lock_sha256}",
        "datePublished": today.isoformat(),
        "keywords": ["people", "photos", "captions", "keypoints"],
        "rai:dataCollection": collection(contents),
        "rai:dataCollectionType": collection_types(contents),
        "rai:dataPreprocessingProtocol": preprocessing(contents),
        "rai:dataAnnotationProtocol": "Captions and keypoints are a model's, or a person's who corrected them by hand.",
        "rai:machineAnnotationTools": [model["name"] for model in contents.lock["models"]],
        "rai:personalSensitiveInformation": sensitive(contents),
        "rai:dataUseCases": uses(contents),
        "rai:dataLimitations": limitations(contents),
        "rai:dataReleaseMaintenancePlan": (
            "Somebody who withdraws consent is removed, and the dataset is published again without them. Copies have "
            "to follow: README.md says how."
        ),
        "distribution": list(_distribution(contents, table_sha256, table_bytes)),
        "recordSet": [_splits(contents), _samples()],
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


def _distribution(contents: Contents, table_sha256: str, table_bytes: int) -> Iterator[dict[str, Any]]:
    tars = [tar for split in contents.splits.values() for tar in split.tars]
    for tar in tars:
        yield {
            "@type": "cr:FileObject",
            "@id": tar["shard"],
            "name": tar["shard"],
            "description": f"{tar['samples']} samples of the split {tar['split']}: a WebDataset tar.",
            "contentUrl": f"shards/{tar['shard']}",
            "contentSize": f"{tar['bytes']} B",
            "encodingFormat": "application/x-tar",
            "sha256": tar["sha256"],
        }
    yield {
        "@type": "cr:FileSet",
        "@id": "images",
        "name": "images",
        "description": "The JPEGs in the tars.",
        "containedIn": [{"@id": tar["shard"]} for tar in tars],
        "encodingFormat": "image/jpeg",
        "includes": "*.jpg",
    }
    yield {
        "@type": "cr:FileObject",
        "@id": "table",
        "name": "samples.parquet",
        "description": "What is known of each sample: a row per JPEG.",
        "contentUrl": "samples.parquet",
        "contentSize": f"{table_bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": table_sha256,
    }


def _splits(contents: Contents) -> dict[str, Any]:
    urls = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "A person is in one split.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": "sc:URL"},
        ],
        "data": [{"splits/name": name, "splits/url": urls.get(name, "cr:Split")} for name in contents.splits],
    }


def _samples() -> dict[str, Any]:
    image = {"fileSet": {"@id": "images"}}
    fields: list[dict[str, Any]] = [
        {
            "@id": "samples/key",
            "description": "The sample's key: the name of its files in the tar.",
            "dataType": "sc:Text",
            "source": image | {"extract": {"fileProperty": "filename"}, "transform": {"regex": _KEY_OF_FILE}},
            "references": _column("key"),
        },
        {
            "@id": "samples/image",
            "description": "The photo: an upright sRGB JPEG without metadata.",
            "dataType": "sc:ImageObject",
            "source": image | {"extract": {"fileProperty": "content"}},
        },
        {
            "@id": "samples/split",
            "description": "The split that the person is in.",
            "dataType": ["sc:Text", "cr:Split"],
            "source": _column("split"),
            "references": {"field": {"@id": "splits/name"}},
        },
        *(
            {"@id": f"samples/{name}", "description": text, "dataType": kind, "source": _column(name)}
            for name, (kind, text) in _COLUMNS.items()
        ),
        {
            "@id": "samples/keypoints",
            "description": "COCO's 17 keypoints as (x, y, confidence), in pixels of the JPEG; none of a few photos.",
            "dataType": "sc:Float",
            "isArray": True,
            "arrayShape": "17,3",
            "source": _column("keypoints"),
        },
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "One photo of one person, with its caption.",
        "key": {"@id": "samples/key"},
        "field": [{"@type": "cr:Field", "name": field["@id"].removeprefix("samples/"), **field} for field in fields],
    }


def _column(name: str) -> dict[str, Any]:
    return {"fileObject": {"@id": "table"}, "extract": {"column": name}}
