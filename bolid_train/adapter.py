"""The finished adapter: the method's files in the run's folder, and `adapter.json` that describes them."""

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Train
from bolid_data.weights import file_sha256
from bolid_train.base import SMALL_SDXL, Base
from bolid_train.conditioning.protocol import Method
from bolid_train.files import write_json


@dataclass(frozen=True)
class Adapter:
    """What `adapter.json` holds."""

    method: str
    base: str  # `small-sdxl`, or folder or hub name of the base pipeline
    components: list[dict[str, str]]  # each with file, kind, sha256
    ref_dim: int
    body_dim: int
    steps: int
    settings: dict[str, Any]  # the manifest's [train], without a person's name and photos
    lock: str | None  # sha256 of dataset.lock.json
    people: dict[str, Any]  # salt, and hashes: sha256(salt + slug) of everyone trained on
    licences: dict[str, str]
    photos: int | None = None  # how many it was trained on; older files do not say


def publish(
    folder: Path,
    method: Method,
    settings: Train,
    base: Base,
    ref_dim: int,
    steps: int,
    people: Iterable[str],
    data: Path,
    start: Adapter | None = None,
    photos: int | None = None,
) -> Adapter:
    """Writes the method's files to `folder`, `adapter.json` last: where it is, all is there. A run that started from
    another's weights has seen that one's people, too; `photos` counts those of this run alone."""
    unfinished = folder / ".adapter.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    kinds = method.save(unfinished)
    adapter = Adapter(
        method=settings.method,
        base=base.name,
        components=[
            {"file": file, "kind": kind, "sha256": file_sha256(unfinished / file)} for file, kind in kinds.items()
        ],
        ref_dim=ref_dim,
        body_dim=settings.body_dim,
        steps=steps,
        settings=settings.model_dump(mode="json", exclude={"person", "photos"}),
        lock=file_sha256(lock) if (lock := data / "dataset.lock.json").is_file() else None,
        people=_salted(people, start.people if start else {}),
        licences={"base": _licence(base)},
        photos=photos,
    )
    (folder / "adapter.json").unlink(missing_ok=True)
    for file in kinds:
        (unfinished / file).replace(folder / file)
    unfinished.rmdir()
    write_json(asdict(adapter), folder / "adapter.json")
    return adapter


def read(folder: Path) -> Adapter:
    """The run's adapter, its files checked. Raises UsageError for no such run, BolidError for an unfinished
    or altered one."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such run; `bolid train` makes it")
    try:
        adapter = Adapter(**json.loads((folder / "adapter.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BolidError(f"{folder} is not finished; `bolid train --resume` goes on with it") from None
    except (ValueError, TypeError) as error:
        raise BolidError(f"{folder / 'adapter.json'} cannot be read ({error}); train again") from error
    for component in adapter.components:
        file = folder / component["file"]
        if not file.is_file() or file_sha256(file) != component["sha256"]:
            raise BolidError(f"{file} is missing or not what adapter.json says; train again")
    return adapter


def _salted(people: Iterable[str], before: dict[str, Any]) -> dict[str, Any]:
    salt = before.get("salt") or secrets.token_hex(16)
    hashes = {hashlib.sha256((salt + slug).encode()).hexdigest() for slug in people}
    return {
        "salt": salt,
        "hashes": sorted(hashes.union(before.get("hashes", ()))),
    }


def _licence(base: Base) -> str:
    if base.name == SMALL_SDXL:
        return "MIT"
    card = base.folder / "README.md"
    found = (
        re.search(r"^license(?:_name)?:\s*(\S+)", card.read_text(encoding="utf-8"), re.M) if card.is_file() else None
    )
    return found[1] if found else f"see {base.name}"
