"""How far a small world's keypoints are from the truth, on people never seen."""

import torch
from torch import Tensor

from bolid_train.diffusion.keypoints import KeypointDetector, load_keypoints
from small_world.check.photos import draw_unseen, shows
from small_world.pixels import pixels
from small_world.worlds import FLAT, World, WorldPhotos

_BATCH = 200


def check(world: World = FLAT) -> dict[str, float]:
    """Errors in percent, and the share of joints whose visibility is told right."""
    detector = load_keypoints(world.model("tiny-keypoints"))
    figures: dict[str, float] = {}
    for name, photos in draw_unseen(world).items():
        found = detect(detector, photos)
        truth = torch.from_numpy(photos.keypoints)
        error = distances(found, truth)
        side, height = 100 * error / world.size.side, 100 * error / heights(truth)[:, None]
        figures |= {
            f"{name}: median error, % of the image's side": float(side.nanmedian()),
            f"{name}: mean error, % of the image's side": float(side.nanmean()),
            f"{name}: median error, full-body, % of the height": float(height.nanmedian()),
            f"{name}: mean error, full-body, % of the height": float(height.nanmean()),
            f"{name}: visibility told right": float(((found[..., 2] > 0.5) == (truth[..., 2] > 0.5)).float().mean()),
        }
        for facing in world.words.get("facing", ())[:-1]:
            there = side[shows(world, photos, "facing", facing)]
            figures[f"{name}: median error, {facing}, % of the image's side"] = float(there.nanmedian())
            figures[f"{name}: mean error, {facing}, % of the image's side"] = float(there.nanmean())
    return figures


@torch.no_grad()
def detect(detector: KeypointDetector, photos: WorldPhotos) -> Tensor:
    """The detector's keypoints (N, 17, 3) of all photos."""
    return torch.cat([detector(pixels(photos, rows)) for rows in torch.arange(len(photos)).split(_BATCH)])


def distances(found: Tensor, truth: Tensor) -> Tensor:
    """Of keypoints (N, 17, 3) each, the distance (N, 17) in pixels; NaN where a joint is truly not visible."""
    distance = (found[..., :2] - truth[..., :2]).norm(dim=2)
    return distance.where(truth[..., 2] > 0.5, torch.nan)


def heights(keypoints: Tensor) -> Tensor:
    """(N,): from between the eyes to between the ankles in pixels; NaN where they are not all visible."""
    ends = keypoints[:, [1, 2, 15, 16]]
    eyes, ankles = ends[:, :2, :2].mean(1), ends[:, 2:, :2].mean(1)
    return (eyes - ankles).norm(dim=1).where((ends[..., 2] > 0.5).all(1), torch.nan)
