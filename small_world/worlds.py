"""The two small worlds, as the training and the measuring of their models see them."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bolid_data.synthetic import caption as caption_3d
from small_world import labels as labels_3d
from small_world import tokenizer
from small_world.body_shape import SHAPE, shape_of, standardized
from small_world.sdxl import FLAT_SIZE, SIZE_3D, Size
from small_world.training import corpus_file
from small_world.world import bodies, captions

UNSAID = -1
"""In place of a label: the caption leaves the attribute out."""


class WorldPhotos(Protocol):
    """N photos of a world, in the order of their people. Side: the world's `size.side`."""

    @property
    def images(self) -> NDArray[np.uint8]: ...  # (N, side, side, 3)
    @property
    def keypoints(self) -> NDArray[np.float32]: ...  # (N, 17, 3): x, y in pixels, visible 0 or 1
    @property
    def labels(self) -> NDArray[np.int64]: ...  # (N, attributes)
    @property
    def people(self) -> NDArray[np.int64]: ...  # (N,)
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class World:
    """A small world: its photos, what is known of them, and the names of its models."""

    name: str
    size: Size
    vocabulary: Path  # of the tokenizer
    words: Mapping[str, tuple[str, ...]]  # attribute → what its labels mean; "": nothing that a photo shows
    belongings: Mapping[str, tuple[str, ...]]  # attribute → those that are left out of a caption with it
    sentence: Callable[[Sequence[int]], str]  # labels, some of them UNSAID, to the caption without the build
    body: tuple[str, ...]  # what `bodies` has of each photo's body
    bodies: Callable[[Any], NDArray[np.float64]]  # the world's photos to (N, body), about -2 to 2
    draw: Callable[[str], Any]  # the photos of the split `corpus`, `held_out` or `second_renderer`
    read_corpus: Callable[[Path], WorldPhotos] | None  # from a file, without the renderer
    keypoint_offset: float  # pixels that keypoints lie left of and above their place, where pixel i covers i..i+1
    mirrored: bool  # whether the base is trained on mirrored photos too; no caption may tell left from right
    suffix: str  # of the names of its models
    image_encoder: str | None  # the CLIP whose image encoder is part of the pipeline
    max_shard_size: str = "10GB"  # of the pipeline's files of weights

    @property
    def attributes(self) -> tuple[str, ...]:
        """The order of the labels."""
        return tuple(self.words)

    def partial_caption(self, labels: Sequence[int], rng: np.random.Generator, chance: float = 0.15) -> str:
        """The caption without some of its attributes, so that a prompt need not mention everything."""
        return self.sentence(self.drop_attributes(labels, rng, chance))

    def drop_attributes(self, labels: Sequence[int], rng: np.random.Generator, chance: float = 0.15) -> list[int]:
        """The labels, each UNSAID with the same chance, and with it what belongs to it, as colours to garments."""
        kept = {
            name: label if rng.random() >= chance else UNSAID
            for name, label in zip(self.attributes, labels, strict=True)
        }
        for name, belongings in self.belongings.items():
            if kept[name] == UNSAID or not self.words[name][kept[name]]:
                kept |= dict.fromkeys(belongings, UNSAID)
        return list(kept.values())

    def model(self, name: str) -> str:
        """The name of this world's `small-sdxl`, `clip-0`, `tiny-keypoints` …."""
        return name + self.suffix


def _draw_flat(name: str) -> Any:
    from small_world.world import splits  # only where photos are drawn
    from small_world.world.photos import draw_split

    split = {"corpus": splits.CORPUS, "held_out": splits.HELD_OUT, "second_renderer": splits.SECOND_STYLE}[name]
    return draw_split(split)


def _draw_3d(name: str) -> Any:
    from small_world.world3d.photos import draw_split  # needs the renderer, as files do not
    from small_world.world3d.splits import MODELS

    return draw_split(MODELS[name])


def _flat_sentence(labels: Sequence[int]) -> str:
    said = zip(captions.ATTRIBUTES, labels, strict=True)
    return str(captions.Caption(**{name: captions.WORDS[name][x] if x != UNSAID else "" for name, x in said}))


def _sentence_3d(labels: Sequence[int]) -> str:
    return labels_3d.from_labels(labels).sentence(build=False)


FLAT = World(
    name="flat",
    size=FLAT_SIZE,
    vocabulary=tokenizer.WORDS,
    words=captions.WORDS,
    belongings={"legs": ("bottom",)},
    sentence=_flat_sentence,
    body=bodies.TRAITS,
    bodies=lambda photos: photos.traits,
    draw=_draw_flat,
    read_corpus=None,
    keypoint_offset=0.5 * 64 / 119,  # figures are painted on whole pixels of a smaller picture
    mirrored=False,
    suffix="",
    image_encoder="clip-0",
)
WORLD_3D = World(
    name="3d",
    size=SIZE_3D,
    vocabulary=Path(__file__).with_name("world3d") / "words.txt",
    words={name: (*caption_3d.WORDS[name], "") for name in caption_3d.ATTRIBUTES},
    belongings={"garment": ("sleeves", "top"), "legs": ("bottom",)},
    sentence=_sentence_3d,
    body=SHAPE,
    bodies=lambda photos: standardized(shape_of(photos.measures)),
    draw=_draw_3d,
    read_corpus=corpus_file.read,
    keypoint_offset=0.0,
    mirrored=True,
    suffix="-3d",
    image_encoder=None,  # no CLIP is committed yet
    max_shard_size="14MB",
)
WORLDS = {world.name: world for world in (FLAT, WORLD_3D)}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `choose` reads."""
    parser.add_argument("--world", choices=WORLDS, default=FLAT.name, help="default: flat")
    parser.add_argument("--corpus", type=Path, metavar="FILE", help="a corpus of `corpus_file`; else it is drawn")


def choose(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> tuple[World, WorldPhotos]:
    """The world of these arguments and its corpus; ends the program if it cannot read it from a file."""
    world = WORLDS[arguments.world]
    if arguments.corpus is None:
        return world, world.draw("corpus")
    if world.read_corpus is None:
        parser.error(f"--corpus: the corpus of --world {arguments.world} cannot be read from a file")
    return world, world.read_corpus(arguments.corpus)
