"""How well the two body evaluators tell whether two photos show one body, on people never seen.

All pairs of photos count; no two photos of a person show the same looks but by chance.
"""

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor
from torch.nn.functional import normalize

from bolid_train.data.proportions import proportions, similarity
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.embedded.body import BodyEvaluator, load_body_evaluator
from small_world.check.keypoints import detect
from small_world.flat.description import FRAMING
from small_world.pixels import pixels
from small_world.world.captions import ATTRIBUTES, WORDS
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT, SECOND_STYLE
from small_world.worlds import FLAT, World

_BATCH = 200
_TOGETHER = 4


def check(world: World = FLAT) -> dict[str, float]:
    """Areas under the ROC curve (AUC) of verification: 1 is perfect, 0.5 is chance."""
    evaluator, detector = load_body_evaluator(), load_keypoints("tiny-keypoints")
    figures: dict[str, float] = {}
    for name, split in (("held-out", HELD_OUT), ("second style", SECOND_STYLE)):
        photos = draw_split(split)
        people = torch.from_numpy(photos.people)
        embeddings = embed(evaluator, photos)
        likeness = embeddings @ embeddings.T
        figures[f"{name}: evaluator"] = auc(likeness, people)
        for pair, wanted in framings(photos).items():
            figures[f"{name}: evaluator, {pair}"] = auc(likeness, people, wanted)
        together, owners = means(embeddings, people)
        figures[f"{name}: evaluator, mean of four against mean of four"] = auc(together @ together.T, owners)
        figures[f"{name}: clothes' colours alone"] = auc(clothes(photos), people)
        for source, keypoints in (("true", torch.from_numpy(photos.keypoints)), ("found", detect(detector, photos))):
            measured = proportions(keypoints)
            alike = similarity(measured[:, None], measured[None])
            measurable = ~alike.isnan()
            figures[f"{name}: proportions of {source} keypoints"] = auc(alike, people, measurable)
            figures[f"{name}: proportions of {source} keypoints, pairs measured"] = float(measurable.float().mean())
    return figures


@torch.no_grad()
def embed(evaluator: BodyEvaluator, photos: Photos) -> Tensor:
    """The evaluator's embeddings (N, 128) of all photos."""
    return torch.cat([evaluator.embed(pixels(photos, rows)) for rows in torch.arange(len(photos)).split(_BATCH)])


def auc(likeness: Tensor, people: Tensor, wanted: Tensor | None = None) -> float:
    """Chance that two photos of one body are more alike than two of different ones (Mann and Whitney's U).

    likeness: (N, N), symmetric; people: (N,); wanted: (N, N), which pairs count, all by default.
    """
    pairs = torch.ones_like(likeness, dtype=torch.bool).triu(1)
    if wanted is not None:
        pairs &= wanted
    same = people[:, None] == people
    alike, unlike = likeness[pairs & same].numpy(), likeness[pairs & ~same].numpy()
    return float(mannwhitneyu(alike, unlike).statistic / (len(alike) * len(unlike)))


def framings(photos: Photos) -> dict[str, Tensor]:
    """Which pairs (N, N) show how much of the two bodies."""
    labels = photos.labels[:, ATTRIBUTES.index("framing")]
    full, knees, bust = (torch.from_numpy(labels == WORDS["framing"].index(word)) for word in _words())
    return {
        "both full-body": full[:, None] & full,
        "full-body and knees-up": (full[:, None] & knees) | (knees[:, None] & full),
        "one or both waist-up": bust[:, None] | bust,
    }


def _words() -> list[str]:
    return [FRAMING[name] for name in ("full", "knees_up", "bust")]


def means(embeddings: Tensor, people: Tensor) -> tuple[Tensor, Tensor]:
    """Mean embeddings (M, D), of length one, of each person's photos four by four, and whose they are (M,)."""
    groups = [
        (part, person) for person in people.unique() for part in (people == person).nonzero()[:, 0].split(_TOGETHER)
    ]
    together = torch.stack([embeddings[part].mean(0) for part, _ in groups])
    return normalize(together), torch.stack([person for _, person in groups])


def clothes(photos: Photos) -> Tensor:
    """(N, N): on how many of the colours of top and bottom two photos agree."""
    worn = torch.from_numpy(photos.labels[:, [ATTRIBUTES.index("top"), ATTRIBUTES.index("bottom")]])
    return (worn[:, None] == worn).sum(2)
