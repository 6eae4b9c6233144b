"""What the two CLIPs know of people never seen: which caption is whose, what is worn, and how much of the body."""

import torch
from torch import Tensor

from bolid_train.diffusion.clip import Clip, load_clip
from small_world.clip import CLIPS
from small_world.pixels import pixels
from small_world.prompts import prompts
from small_world.worlds import FLAT, World, WorldPhotos

_BATCH = 200
_CHOICE = 100  # of so many captions, or photos, one is right
_RIDGE = 0.1  # of the features' own variance


def check(world: World = FLAT) -> dict[str, float]:
    """Retrieval and zero-shot accuracy of both, and R² of bodies read from what `clip-0` says of a photo."""
    photos = world.draw("held_out")
    figures: dict[str, float] = {}
    for name in map(world.model, CLIPS):
        clip = load_clip(name)
        images = embed_photos(clip, photos)["projected"]
        found = retrieval(clip, images, photos, world) | zero_shot(clip, images, photos, world)
        figures |= {f"{name}: {figure}": value for figure, value in found.items()}
    name = world.model(CLIPS[0])
    bodies, groups = torch.from_numpy(world.bodies(photos)).float(), torch.from_numpy(photos.people) % 2
    for layer, features in embed_photos(load_clip(name), photos).items():
        explained = probe(features, bodies, groups)
        figures[f"{name}: R² of all traits, {layer}"] = float(explained.mean())
        for trait, value in zip(world.body, explained.tolist(), strict=True):
            figures[f"{name}: R² of {trait}, {layer}"] = value
    return figures


@torch.inference_mode()
def embed_photos(clip: Clip, photos: WorldPhotos) -> dict[str, Tensor]:
    """Of N photos: the `projected` unit vectors (N, D), the `pooled` state before (N, width), and the mean of the
    `patches` (N, width) one layer before the last, which an IP-Adapter Plus is conditioned on."""
    parts: dict[str, list[Tensor]] = {"projected": [], "pooled": [], "patches": []}
    for start in range(0, len(photos), _BATCH):
        values = clip.pixel_values(pixels(photos, torch.arange(start, min(start + _BATCH, len(photos)))))
        seen = clip.model.vision_model(values, output_hidden_states=True)
        parts["pooled"].append(seen.pooler_output)
        parts["projected"].append(torch.nn.functional.normalize(clip.model.visual_projection(seen.pooler_output)))
        parts["patches"].append(seen.hidden_states[-2][:, 1:].mean(1))
    return {name: torch.cat(part) for name, part in parts.items()}


@torch.inference_mode()
def retrieval(clip: Clip, images: Tensor, photos: WorldPhotos, world: World = FLAT) -> dict[str, float]:
    """How often a photo's (N, D) own caption is the nearest, and the other way; captions of the same words are one."""
    captions = [world.sentence(labels) for labels in photos.labels.tolist()]
    texts = torch.cat([clip.embed_texts(captions[i : i + _BATCH]) for i in range(0, len(captions), _BATCH)])
    numbers = torch.tensor([captions.index(caption) for caption in captions])
    same = numbers[:, None] == numbers
    figures = {}
    for way, scores in (("photo to caption", images @ texts.T), ("caption to photo", texts @ images.T)):
        few = [accuracy(scores[i : i + _CHOICE, i : i + _CHOICE], same[i : i + _CHOICE, i : i + _CHOICE], 1)
               for i in range(0, len(scores), _CHOICE)]  # fmt: skip
        figures[f"{way}, first of {_CHOICE}"] = sum(few) / len(few)
        figures[f"{way}, first of {len(scores):,}"] = accuracy(scores, same, 1)
        figures[f"{way}, among 5 of {len(scores):,}"] = accuracy(scores, same, 5)
    return figures


def accuracy(scores: Tensor, right: Tensor, first: int) -> float:
    """Share of the rows of scores (N, M) with a right one (bool (N, M)) among the `first`."""
    return float(right.gather(1, scores.topk(first).indices).any(dim=1).float().mean())


@torch.inference_mode()
def zero_shot(clip: Clip, images: Tensor, photos: WorldPhotos, world: World = FLAT) -> dict[str, float]:
    """How often the nearest of "a photo of a person, in a red top", "… blue top" … is the true one, by attribute,
    of the photos that show it."""
    figures = {}
    for name, captions in prompts(world).items():
        truth = torch.from_numpy(photos.labels[:, world.attributes.index(name)])
        shown = truth < len(captions)
        told = (images @ clip.embed_texts(captions).T).argmax(1)
        figures[f"zero-shot {name} ({len(captions)})"] = float((told == truth)[shown].float().mean())
    return figures


def probe(features: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
    """R² (T,) of targets (N, T) by ridge regression from features (N, F), fitted on one group of rows (0 and 1, (N,))
    and tested on the other, both ways."""
    errors, spread = [], []
    for group in (0, 1):
        known, asked = groups == group, groups != group
        centre, scale, middle = features[known].mean(0), features[known].std(0), targets[known].mean(0)
        x = (features[known] - centre) / scale
        gram = x.T @ x + _RIDGE * len(x) * torch.eye(x.shape[1])
        weights = torch.linalg.solve(gram, x.T @ (targets[known] - middle))
        predicted = (features[asked] - centre) / scale @ weights + middle
        errors.append((predicted - targets[asked]).square().sum(0))
        spread.append((targets[asked] - targets[asked].mean(0)).square().sum(0))
    return 1 - (errors[0] + errors[1]) / (spread[0] + spread[1])
