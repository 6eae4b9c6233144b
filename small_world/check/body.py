"""How well a world's body evaluator tells whether two photos show one body, on people never seen.

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
from small_world.check.photos import draw_unseen, shows
from small_world.pixels import pixels
from small_world.worlds import FLAT, World, WorldPhotos

_BATCH = 200
_TOGETHER = 4


def check(world: World = FLAT) -> dict[str, float]:
    """Areas under the ROC curve (AUC) of verification: 1 is perfect, 0.5 is chance."""
    evaluator = load_body_evaluator(world.model("tiny-body"))
    detector = load_keypoints(world.model("tiny-keypoints"))
    figures: dict[str, float] = {}
    for name, photos in draw_unseen(world).items():
        people = torch.from_numpy(photos.people)
        embeddings = embed(evaluator, photos)
        likeness = embeddings @ embeddings.T
        figures[f"{name}: evaluator"] = auc(likeness, people)
        for pair, wanted in shown_together(world, photos).items():
            figures[f"{name}: evaluator, {pair}"] = auc(likeness, people, wanted)
        together, owners = means(embeddings, people)
        figures[f"{name}: evaluator, mean of four against mean of four"] = auc(together @ together.T, owners)
        figures[f"{name}: clothes' colours alone"] = auc(clothes(world, photos), people)
        for source, keypoints in (("true", torch.from_numpy(photos.keypoints)), ("found", detect(detector, photos))):
            measured = proportions(keypoints)
            alike = similarity(measured[:, None], measured[None])
            measurable = ~alike.isnan()
            figures[f"{name}: proportions of {source} keypoints"] = auc(alike, people, measurable)
            figures[f"{name}: proportions of {source} keypoints, pairs measured"] = float(measurable.float().mean())
    return figures


@torch.no_grad()
def embed(evaluator: BodyEvaluator, photos: WorldPhotos) -> Tensor:
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


def shown_together(world: World, photos: WorldPhotos) -> dict[str, Tensor]:
    """Which pairs (N, N) show how much of the two bodies (waist-up: or less), and which show their two sides."""
    full, knees = (shows(world, photos, "framing", word) for word in ("full-body", "knees-up"))
    less = ~(full | knees)
    pairs = {
        "both full-body": full[:, None] & full,
        "full-body and knees-up": (full[:, None] & knees) | (knees[:, None] & full),
        "one or both waist-up": less[:, None] | less,
    }
    if "facing" in world.words:
        front, back = (shows(world, photos, "facing", word) for word in ("from the front", "from behind"))
        opposite = (front[:, None] & back) | (back[:, None] & front)
        pairs |= {"front against back": opposite, "both full-body, front against back": opposite & full[:, None] & full}
    return pairs


def means(embeddings: Tensor, people: Tensor) -> tuple[Tensor, Tensor]:
    """Mean embeddings (M, D), of length one, of each person's photos four by four, and whose they are (M,)."""
    groups = [
        (part, person) for person in people.unique() for part in (people == person).nonzero()[:, 0].split(_TOGETHER)
    ]
    together = torch.stack([embeddings[part].mean(0) for part, _ in groups])
    return normalize(together), torch.stack([person for _, person in groups])


def clothes(world: World, photos: WorldPhotos) -> Tensor:
    """(N, N): on how many of the colours of top and bottom two photos agree."""
    worn = torch.from_numpy(photos.labels[:, [world.attributes.index(name) for name in ("top", "bottom")]])
    return (worn[:, None] == worn).sum(2)
