"""`bolid init`: a manifest for the photos that there are."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from bolid_data.catalog import AddressList
from bolid_data.collect.http.address import is_this_machine, origin
from bolid_data.collect.sites.profiles import PROFILES
from bolid_data.collect.sources.people_folders import find_people, list_files, loose_files
from bolid_data.errors import UsageError
from bolid_data.images import BrokenPhotoError, read_header
from bolid_data.manifest import Filter
from bolid_data.names import slug
from bolid_data.printable import printable
from bolid_data.words import counted, people, photos

_MAX_LISTED = 20
"""People that the comment at the top lists."""
_MAX_MEASURED = 2000
"""Photos whose size is read."""
_SMALLEST = 256
"""Pixels below which a photo is not worth training on, however small the others are."""
_FEW = 20
"""People below which none are held out."""


@dataclass
class Proposal:
    """A manifest and what it is for."""

    name: str
    text: str
    people: int | None = None  # None where they are not known yet
    photos: int | None = None


@dataclass
class _Source:
    """The lines of `[source]`, and what is known of the photos."""

    kind: str
    name: str
    lines: list[str]
    photos: dict[str, int] = field(default_factory=dict)  # by the person's name
    sizes: list[tuple[int, int]] = field(default_factory=list)


def propose(what: str | None, beside: Path) -> Proposal:
    """A manifest, to be written into the folder `beside`, for a folder of photos, a list of URLs or the URL of a site.

    Without `what`, for the folder `photos` in `beside`, or for `beside` itself. Nothing is requested from a site.
    Raises UsageError where there is nothing to collect.
    """
    if what is None:
        what = str(beside / "photos" if (beside / "photos").is_dir() else beside)
    if what.partition("://")[0] in ("http", "https"):
        return _of_site(what)
    path = Path(what)
    if path.is_dir():
        source = _of_folder(path, beside)
    elif path.is_file():
        source = _of_list(path, beside)
    else:
        raise UsageError(f"{what}: no such folder or list; name a folder of photos, a CSV file, or the URL of a site")
    return Proposal(source.name, _text(source), len(source.photos), sum(source.photos.values()))


def _of_folder(root: Path, beside: Path) -> _Source:
    folders, _ = find_people(root)
    files = {person: list_files(folder).photos for person, folder in folders.items()}
    files = {person: photos for person, photos in files.items() if photos}
    if not files and (loose := loose_files(root).photos):
        # The folder of one person: the source is the folder around it.
        root = root.resolve()
        person = slug(root.name)
        if not person:
            raise UsageError(f"{root}: its name has no letters or digits; rename it to the person's name")
        lines = [
            f"path = {_quoted(_path(root.parent, beside))}",
            f'people = ["{person}"]  # the folder {printable(root.name)}',
        ]
        return _Source("folder", person, lines, {root.name: len(loose)}, list(_sizes(loose)))
    if not files:
        raise UsageError(f"{root}: no photos in it; put each person's photos into a folder of its own")
    lines = [f"path = {_quoted(_path(root, beside))}  # one folder of photos per person"]
    every = [file for photos in files.values() for file in photos]
    counts = {folders[person].name: len(photos) for person, photos in files.items()}
    return _Source("folder", slug(root.resolve().name) or "photos", lines, counts, list(_sizes(every)))


def _of_list(path: Path, beside: Path) -> _Source:
    addresses = AddressList(path)
    counts = addresses.people()
    hosts = {origin(url) for rows in islice(addresses.batches(), 1) for _, url in rows}
    lines = [f"path = {_quoted(_path(path, beside))}  # columns person, url"]
    if not all(map(is_this_machine, hosts)):
        lines.append(_contact())
    if any(map(is_this_machine, hosts)):
        lines.append("# allow_local = true  # if you wrote the list: it names this machine")
    return _Source("urls", slug(path.stem) or "photos", lines, counts)


def _of_site(url: str) -> Proposal:
    host = urlsplit(url).hostname or ""
    profile = next((p for p in PROFILES.values() if urlsplit(p.origin).hostname in (host, f"www.{host}")), None)
    if profile:
        source = [f'profile = "{profile.name}"', _contact()]
    elif is_this_machine(url):
        source = [f'base_url = "{origin(url)}"  # such as the gallery that `bolid gallery` serves', "delay = 0.0"]
    else:
        raise UsageError(
            f"{url}: no profile of this site; there are {', '.join(PROFILES)}. For another site, list its photos in a "
            "CSV file with the columns person, url, and run `bolid init LIST.csv`"
        )
    name = slug(host) or "site"
    minimum = 12 if is_this_machine(url) else 200
    lines = [
        *_header("a gallery site"),
        f'name = "{name}"',
        "",
        "[source]",
        'kind = "theplace"',
        *source,
        "max_people = 20     # for a first look; the default is 500",
        f"min_photos = {minimum:<7}# people with fewer photos on the site are skipped",
        'max_bytes = "5GB"   # of one run; the next one continues',
        "",
        "[filter]",
        f"min_photos_per_person = {minimum // 2}  # that are left by all other rules",
        "",
        *_models(),
        *_train(),
    ]
    return Proposal(name, "\n".join(lines) + "\n")


def _text(source: _Source) -> str:
    width, height = _minimum([w for w, _ in source.sizes]), _minimum([h for _, h in source.sizes])
    lines = [
        *_header(f"{people(len(source.photos))}, {photos(sum(source.photos.values()))}"),
        *_listed(source.photos),
        f'name = "{source.name}"  # its data are in data/{source.name}',
        "",
        "[source]",
        f'kind = "{source.kind}"',
        *source.lines,
        "",
        "[filter]",
        *_size_lines(source.sizes, width, height),
        "min_photos_per_person = 1",
        *(["max_watermark = 1.0   # your own photos have none; the embedded model is wrong on one clean photo in 100"]
          if source.kind == "folder" else []),
        "",
        *_models(),
        "[shards]",
        *_splits(len(source.photos)),
        "",
        *_train(),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _header(what: str) -> list[str]:
    return [
        f"# Written by `bolid init` for {what}. docs/settings.md lists every key; an editor checks",
        "# them after `bolid schema > manifest.schema.json`, if the first line is `#:schema manifest.schema.json`.",
    ]


def _listed(counts: dict[str, int]) -> list[str]:
    lines = [
        f"#   {printable(name)}: {photos(count)}" + ("; BoLID needs a second one" if count == 1 else "")
        for name, count in islice(counts.items(), _MAX_LISTED)
    ]
    if len(counts) > _MAX_LISTED:
        lines.append(f"#   and {counted(len(counts) - _MAX_LISTED, 'more person', 'more people')}")
    return lines


def _minimum(sides: list[int]) -> int:
    """A limit that no photo falls below unless it is too small to be of use."""
    default = int(Filter.model_fields["min_width"].default)
    return min(default, max(_SMALLEST, min(sides) // 10 * 10)) if sides else default


def _size_lines(sizes: list[tuple[int, int]], width: int, height: int) -> list[str]:
    if not sizes:
        return ["min_width = 1000  # pixels", "min_height = 1000"]
    small = sum(w < width or h < height for w, h in sizes)
    widths, heights = [w for w, _ in sizes], [h for _, h in sizes]
    return [
        f"min_width = {width:<5}   # pixels; the photos have {min(widths)} to {max(widths)}",
        f"min_height = {height:<5}  # and {min(heights)} to {max(heights)}"
        + (f"; {photos(small)} {'is' if small == 1 else 'are'} too small" if small else ""),
    ]


def _models() -> list[str]:
    return [
        "[models]",
        'caption = "describe"  # puts measurements into words; larger models: docs/captioning.md',
        "",
    ]


def _splits(number: int) -> list[str]:
    if number < _FEW:
        return [
            "splits = { train = 1.0 }  # nobody is held out for `bolid evaluate`; with more people:",
            "                          # { train = 0.9, val = 0.05, test = 0.05 }",
        ]
    return ["splits = { train = 0.9, val = 0.05, test = 0.05 }  # of the people; `bolid evaluate` needs the last two"]


def _train() -> list[str]:
    return [
        "[train]",
        "# The base that ships, small-sdxl, draws synthetic people only, in 64x64 pixels: with it, a run shows that",
        "# everything works, and never the person. These lines make it SDXL, for an accelerator with 24 GB and after a",
        "# download of 10 GB; manifests/sdxl.toml has more:",
        '# base = "stabilityai/stable-diffusion-xl-base-1.0"',
        '# image_encoder = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"',
        "# resolution = 1024",
        "# view_resolution = 512",
        "# gradient_checkpointing = true",
        '# bolid.ref_from = "h94/IP-Adapter/sdxl_models/ip-adapter_sdxl_vit-h.safetensors"',
    ]


def _contact() -> str:
    return 'contact = "mailto:you@example.org"  # replace by your address: sites must know whom to ask'


def _sizes(files: list[str]) -> Iterator[tuple[int, int]]:
    """Width and height in pixels of files that are photos; of many, an evenly spaced sample."""
    for file in files[:: -(-len(files) // _MAX_MEASURED)]:
        with suppress(BrokenPhotoError):
            header = read_header(Path(file))
            yield header.width, header.height


def _path(path: Path, beside: Path) -> str:
    """A path as the manifest names it: relative to `beside` if it is below or next to it, else absolute."""
    relative = Path(os.path.relpath(path, beside))
    return relative.as_posix() if relative.parts[:2] != ("..", "..") else str(path.resolve())


def _quoted(text: str) -> str:
    """TOML's basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
