"""Trains a small world's two CLIPs:

    python -m small_world.training.clip clip-0 --work FOLDER [--world 3d --out FOLDER]

Captions are those without a word on the build. Beside whole ones, photos are set against captions that say one thing:
else background and clothes, by which photos are told apart, are all that is learned in so few steps. A CLIP of millions
of photos knows poses and shapes that no caption names; so short a training would not find them, so the image tower is
told where the joints are: each chooses the patch that it lies in, and what is pooled has to place them all.
"""

import argparse
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, normalize
from transformers import CLIPModel

from bolid_data.weights import embedded_path, folder_sha256
from bolid_train.diffusion.clip import Clip
from bolid_train.embedded.keypoints import KEYPOINTS
from bolid_train.files import write_safetensors
from small_world.clip import CLIPS, PATCHES, build_clip
from small_world.pixels import pixels
from small_world.prompts import prompts
from small_world.training.augmentation import move, recolour
from small_world.training.loop import Schedule, fit
from small_world.worlds import FLAT, UNSAID, WORLDS, World, WorldPhotos, add_options, choose

BATCH = 96
_JOINTS, _PLACES = 0.3, 4.0  # weights of the two terms about joints
_MOST_UNSAID = 0.8  # of each caption a share between none and this is left out


@dataclass(frozen=True)
class Recipe:
    """Widths and depths of the towers, and how they are trained."""

    width: int
    image_layers: int
    text_layers: int
    schedule: Schedule

    @property
    def seed(self) -> int:
        """What the towers start from."""
        return self.schedule.seed


RECIPES = {
    "clip-0": Recipe(128, 4, 3, Schedule(steps=4000, learning_rate=1.5e-3, warmup=60, ema=0.98)),
    "clip-1": Recipe(144, 3, 3, Schedule(steps=3600, learning_rate=1.5e-3, warmup=60, ema=0.98, seed=1)),
    "clip-0-3d": Recipe(128, 4, 3, Schedule(steps=3000, learning_rate=1.5e-3, warmup=60, ema=0.98, seed=60)),
    "clip-1-3d": Recipe(144, 3, 3, Schedule(steps=3000, learning_rate=1.5e-3, warmup=60, ema=0.98, seed=61)),
}
"""By the names of `World.model`."""


class Pretraining(nn.Module):
    """A CLIP, and the heads that tell joints, which are thrown away after training."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        width = clip.config.vision_config.hidden_size
        self.choose = nn.Linear(width, KEYPOINTS)
        self.place = nn.Linear(width, 2 * KEYPOINTS)

    def forward(self, pixel_values: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Embeddings (B, D) of photos (B, 3, H, W) and of captions; how likely each patch is to hold each joint
        (B, patches, 17), and where the joints are (B, 17, 2), in sides of the photo."""
        seen = self.clip.vision_model(pixel_values)
        texts = self.clip.get_text_features(tokens).pooler_output
        patches, pooled = seen.last_hidden_state[:, 1:], seen.pooler_output
        return (
            self.clip.visual_projection(pooled),
            texts,
            self.choose(patches),
            self.place(pooled).unflatten(1, (-1, 2)),
        )


class Contrasting:
    """The loss of a batch: photos against captions, and where the joints are."""

    def __init__(self, model: Pretraining, clip: Clip, photos: WorldPhotos, world: World = FLAT) -> None:
        self.model, self.clip, self.photos, self.world = model, clip, photos, world
        self.labels = torch.from_numpy(photos.labels)
        self.prompts = prompts(world)
        captions = list(chain.from_iterable(self.prompts.values()))
        self.prompt_tokens = clip.tokenizer(captions, padding=True, return_tensors="pt").input_ids

    def __call__(self, generator: Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.photos), (BATCH,), generator=generator)
        said = self._said(rows)
        captions = [self.world.sentence(labels) for labels in said]
        tokens = self.clip.tokenizer(captions, padding=True, return_tensors="pt")
        views, keypoints = self._views(rows, generator)
        with torch.autocast("cpu", torch.bfloat16):
            images, texts, chosen, placed = self.model(self.clip.pixel_values(views), tokens.input_ids)
        also_true = is_true(torch.tensor(said), self.labels[rows], self.world)
        scale = self.model.clip.logit_scale.exp().clamp(max=100)
        seen = keypoints[..., 2] > 0
        places = keypoints[..., :2] / self.world.size.side
        return {
            "contrastive": contrast(texts, images, scale, also_true),
            "words": self._words(images, self.labels[rows], scale),
            "joints": _JOINTS * cross_entropy(chosen.float().transpose(1, 2)[seen], patch_of(places)[seen]),
            "places": _PLACES * l1_loss(placed.float()[seen], places[seen]),
        }

    def _words(self, images: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
        """The same against captions that say one thing, all that could be said of it being the choice. Photos do not
        count for what they do not show."""
        with torch.autocast("cpu", torch.bfloat16):
            embeds = self.model.clip.get_text_features(self.prompt_tokens).pooler_output
        logits = scale * normalize(images.float(), dim=1) @ normalize(embeds.float(), dim=1).T
        choices = logits.split([len(choice) for choice in self.prompts.values()], dim=1)
        truth = [labels[:, self.world.attributes.index(name)] for name in self.prompts]
        losses = []
        for choice, right in zip(choices, truth, strict=True):
            shown = right < choice.shape[1]
            losses.append(cross_entropy(choice[shown], right[shown], reduction="sum") / shown.sum().clamp(min=1))
        return torch.stack(losses).mean()

    def _said(self, rows: Tensor) -> list[list[int]]:
        """Labels (B, attributes) of captions of the photos, of each another share UNSAID."""
        rng = np.random.default_rng(torch.initial_seed())
        shown = self.labels[rows].tolist()
        return [self.world.drop_attributes(labels, rng, _MOST_UNSAID * rng.random()) for labels in shown]

    def _views(self, rows: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """The photos and their keypoints, a little changed so that their captions stay true."""
        photos, keypoints = pixels(self.photos, rows), torch.from_numpy(self.photos.keypoints[rows.numpy()])
        changed, keypoints = move(
            photos, keypoints, generator, scale=0.1, shift=0.04, turn=0.05, offset=self.world.keypoint_offset
        )
        return recolour(changed, generator, 0.1), keypoints


def patch_of(places: Tensor) -> Tensor:
    """Which patch each place (..., 2), in sides of the photo, lies in (...), row by row."""
    column, row = (places * PATCHES).long().clamp(0, PATCHES - 1).unbind(-1)
    return row * PATCHES + column


def is_true(said: Tensor, labels: Tensor, world: World = FLAT) -> Tensor:
    """Bool (B, B): whether the caption that says labels i is true of photo j; said, labels: (B, attributes)."""
    nothing = torch.tensor([words.index("") if "" in words else UNSAID for words in world.words.values()])
    said = said[:, None]
    return ((said == labels) | (said == UNSAID) | (said == nothing)).all(dim=2)


def contrast(first: Tensor, second: Tensor, scale: Tensor | float, also_true: Tensor | None = None) -> Tensor:
    """CLIP's loss of pairs (B, D) and (B, D), both ways. Pairs that only happen to be apart, because `also_true`
    (bool (B, B)) says they belong together as well, are left out."""
    logits = scale * normalize(first.float(), dim=1) @ normalize(second.float(), dim=1).T
    if also_true is not None:
        logits = logits.masked_fill(also_true & ~torch.eye(len(logits), dtype=torch.bool), -torch.inf)
    pairs = torch.arange(len(logits))
    return (cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2


def train(recipe: Recipe, photos: WorldPhotos, work: Path, world: World = FLAT) -> Clip:
    """A CLIP trained on `photos`; a run that was stopped goes on from what is in `work`."""
    torch.manual_seed(recipe.seed)
    clip = build_clip(recipe.width, recipe.image_layers, recipe.text_layers, world)
    model = Pretraining(clip.model)
    trained = fit(model, Contrasting(model, clip, photos, world), recipe.schedule, work)
    assert isinstance(trained, Pretraining)
    return replace(clip, model=trained.clip)


def save(clip: Clip, folder: Path) -> None:
    """An ordinary transformers folder: weights stored in float16, and loaded in float32 unless asked otherwise."""
    clip.model.config.dtype = torch.float32
    for part in (clip.model.config, clip.tokenizer, clip.image_processor):
        part.save_pretrained(folder)
    state = {name: value.half() for name, value in clip.model.state_dict().items()}
    write_safetensors(state, folder / "model.safetensors")


def main() -> None:
    """Trains one of the two on the corpus and writes its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CLIPS)
    parser.add_argument("--work", type=Path, required=True, help="a run that was stopped goes on from what is in it")
    add_options(parser)
    parser.add_argument("--out", type=Path, help="the CLIP's folder (default: that of the committed one)")
    arguments = parser.parse_args()
    name = WORLDS[arguments.world].model(arguments.name)
    out = arguments.out or embedded_path(name)
    world, photos = choose(parser, arguments)
    save(train(RECIPES[name], photos, arguments.work, world), out)
    print(f"pin it in bolid_data/weights.py: sha256 {folder_sha256(out)}")


if __name__ == "__main__":
    main()
