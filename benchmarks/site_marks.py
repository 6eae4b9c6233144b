"""Hosts made of real photographs, with and without marks: `python -m benchmarks.site_marks --photos FOLDER`.

Every host's photos are random parts of the photographs below FOLDER (of those that installed packages ship, without
it), mirrored at random and compressed. Prints for each host whether its mark was found, from how many photos, the share
of other photos of the host that are found to be marked, and that of other clean photos; `--pictures FOLDER` keeps the
marks' pictures.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image, ImageDraw

from bolid_data.curate.site_marks.mark import Mark
from bolid_data.curate.site_marks.score import score
from bolid_data.curate.site_marks.update import SAMPLE
from bolid_data.errors import BolidError
from bolid_data.images import read_upright
from bolid_data.manifest import Filter
from tests.support.marked_hosts import Print, encoded, estimated, host, in_corner, nothing, overlaid, part, text

SIZE = (900, 1200)
PEOPLE = 12


def _logo() -> Image.Image:
    """A ring with two letters in it, as a mask."""
    logo = Image.new("L", (120, 120), 0)
    letters = text("SP", 50)
    logo.paste(letters, ((logo.width - letters.width) // 2, (logo.height - letters.height) // 2))
    ImageDraw.Draw(logo).ellipse((2, 2, logo.width - 3, logo.height - 3), outline=255, width=7)
    return logo


LIMIT = Filter().max_site_mark
LINE, OTHER = text("© starplace.com", 40), text("CelebBank", 60)
LOGO = _logo()
TILE = text("starplace.com", 36).rotate(30, expand=True)


def anywhere(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    at = int(rng.integers(0, image.width - LINE.width)), int(rng.integers(0, image.height - LINE.height))
    return overlaid(image, LINE, at, 0.4)


def in_some_corner(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    right, bottom = rng.integers(0, 2, 2)
    at = int(right) * (image.width - LINE.width - 40) + 20, int(bottom) * (image.height - LINE.height - 40) + 20
    return overlaid(image, LINE, at, 0.3)


def tiled(opacity: float) -> Print:
    def draw(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
        sheet = Image.new("L", image.size, 0)
        for top in range(0, image.height, TILE.height + 60):
            for left in range(0, image.width, TILE.width + 80):
                sheet.paste(TILE, (left, top))
        return overlaid(image, sheet, (0, 0), opacity)

    return draw


def two(image: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    return in_corner(LINE, 0.3)(image, number, rng) if number % 2 else overlaid(image, OTHER, (20, 20), 0.3)


HOSTS: dict[str, Print] = {
    "text, 10 %": in_corner(LINE, 0.1),
    "text, 20 %": in_corner(LINE, 0.2),
    "text, 40 %": in_corner(LINE, 0.4),
    "logo, 10 %": in_corner(LOGO, 0.1),
    "logo, 40 %": in_corner(LOGO, 0.4),
    "tiled, 10 %": tiled(0.1),
    "tiled, 30 %": tiled(0.3),
    "one of four corners, 30 %": in_some_corner,
    "anywhere, 40 %": anywhere,
    "two marks, 30 %": two,
    "none": nothing,
}


def photographs(folder: Path) -> list[Image.Image]:
    """The photographs below a folder, without small ones and copies."""
    images: list[Image.Image] = []
    hashes: list[imagehash.ImageHash] = []
    for file in sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".webp")):
        try:
            image = read_upright(file)
        except BolidError:
            continue
        if max(image.size) < 600 or min(image.size) < 400:
            continue
        hashed = imagehash.phash(image)
        if all(hashed - other > 6 for other in hashes):
            hashes.append(hashed)
            image.thumbnail((1600, 1600))
            images.append(image)
    return images


def best(marks: Sequence[Mark], image: Image.Image) -> float:
    return max((score(mark, image) for mark in marks), default=0.0)


def _visible(clean: Image.Image, marked: Image.Image) -> bool:
    """Whether a mark changes the photo at all: white ink does not show on white."""
    difference = np.abs(np.asarray(clean.convert("L"), float) - np.asarray(marked.convert("L"), float))
    return bool((difference >= 4).sum() > 300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--tested", type=int, default=40, help="photos of each host that are scored")
    parser.add_argument("--clean", type=int, default=200, help="clean photos that are scored by each kind's last marks")
    parser.add_argument("--hosts", nargs="+", default=list(HOSTS))
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    images = photographs(arguments.photos) if arguments.photos else []
    training, testing = images[::2], images[1::2]  # a host's mark is not tested on photographs it was estimated from
    print(f"{len(images)} photographs; a sample has at most {SAMPLE} photos; limit {LIMIT}\n")
    print(
        "| host | photos | marks | shown by | seconds | recall | of visible marks | clean: highest | above the limit |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.hosts:
        for count in arguments.counts:
            began = time.perf_counter()
            marks = estimated(host(min(count, SAMPLE), HOSTS[name], 7 * count, (SIZE,), training), PEOPLE)
            seconds = time.perf_counter() - began
            if arguments.pictures:
                for number, mark in enumerate(marks):
                    mark.picture().save(arguments.pictures / f"{name.split(',')[0]}-{count}-{number}.png")
            shown = ", ".join(str(mark.photos) for mark in marks) or "–"
            row = f"| {name} | {count} | {len(marks)} | {shown} | {seconds:.0f} |"
            if not marks:
                print(f"{row} – | – | – | – |", flush=True)
                continue
            rng = np.random.default_rng(99)
            pairs = []
            for number in range(arguments.tested):
                clean = part(number, rng, SIZE, testing)
                pairs.append((clean, HOSTS[name](clean, number, rng)))
            found = np.array([best(marks, encoded(marked)) > LIMIT for _, marked in pairs])
            visible = np.array([_visible(clean, marked) for clean, marked in pairs])
            total = arguments.clean if count == arguments.counts[-1] else arguments.tested
            scores = np.array([best(marks, encoded(part(n, rng, SIZE, testing))) for n in range(total)])
            print(
                f"{row} {found.mean():.2f} | {found[visible].mean():.2f} | {scores.max():.2f} "
                f"| {(scores > LIMIT).sum()} of {total} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
