"""What the trainings of a small SDXL need to know of its world."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from small_world import labels as labels_3d
from small_world import sdxl, tokenizer
from small_world.sdxl import FLAT_SIZE, SIZE_3D, Size
from small_world.training import corpus_file
from small_world.training.partial_captions import drop_attributes
from small_world.world import captions


class TrainingPhotos(Protocol):
    """N photos of a world. Side: the world's `size.side`."""

    @property
    def images(self) -> NDArray[np.uint8]: ...  # (N, side, side, 3)
    @property
    def keypoints(self) -> NDArray[np.float32]: ...  # (N, 17, 3): x, y in pixels, visible 0 or 1
    @property
    def labels(self) -> NDArray[np.int64]: ...  # (N, attributes): what `TrainingWorld.partial_caption` takes a row of
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class TrainingWorld:
    """A small world, as a base is trained on it."""

    size: Size
    vocabulary: Path  # of the tokenizer
    draw_corpus: Callable[[], TrainingPhotos]
    read_corpus: Callable[[Path], TrainingPhotos] | None  # from a file, without the renderer
    partial_caption: Callable[[Sequence[int], np.random.Generator], str]  # of a photo's labels: some of what is true
    mirrored: bool  # whether the base is trained on mirrored photos too; no caption may tell left from right
    folder: Path | None  # of the committed base
    image_encoder: str | None  # the CLIP whose image encoder is part of the pipeline
    max_shard_size: str = "10GB"  # of the pipeline's files of weights


def _flat_corpus() -> TrainingPhotos:
    from small_world.world.photos import draw_split  # only where photos are drawn
    from small_world.world.splits import CORPUS

    return draw_split(CORPUS)


def _corpus_3d() -> TrainingPhotos:
    from small_world.world3d.photos import draw_split  # needs the renderer, as files do not
    from small_world.world3d.splits import CORPUS

    return draw_split(CORPUS)


def _flat_caption(labels: Sequence[int], rng: np.random.Generator) -> str:
    return str(captions.from_labels(list(labels)).partly(rng))


def _caption_3d(labels: Sequence[int], rng: np.random.Generator) -> str:
    return drop_attributes(labels_3d.from_labels(labels), rng).sentence(build=False)


FLAT = TrainingWorld(
    size=FLAT_SIZE,
    vocabulary=tokenizer.WORDS,
    draw_corpus=_flat_corpus,
    read_corpus=None,
    partial_caption=_flat_caption,
    mirrored=False,
    folder=sdxl.FOLDER,
    image_encoder="clip-0",
)
WORLD_3D = TrainingWorld(
    size=SIZE_3D,
    vocabulary=Path(__file__).parents[1] / "world3d" / "words.txt",
    draw_corpus=_corpus_3d,
    read_corpus=corpus_file.read,
    partial_caption=_caption_3d,
    mirrored=True,
    folder=None,  # none is committed yet
    image_encoder=None,  # nor a CLIP
    max_shard_size="14MB",
)
WORLDS = {"flat": FLAT, "3d": WORLD_3D}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `choose` reads."""
    parser.add_argument("--world", choices=WORLDS, default="flat", help="default: flat")
    parser.add_argument("--corpus", type=Path, metavar="FILE", help="a corpus of `corpus_file`; else it is drawn")


def choose(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> tuple[TrainingWorld, TrainingPhotos]:
    """The world of these arguments and its photos; ends the program if it cannot read them from a file."""
    world = WORLDS[arguments.world]
    if arguments.corpus is None:
        return world, world.draw_corpus()
    if world.read_corpus is None:
        parser.error(f"--corpus: the corpus of --world {arguments.world} cannot be read from a file")
    return world, world.read_corpus(arguments.corpus)
