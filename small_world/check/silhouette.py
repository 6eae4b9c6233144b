"""How well silhouettes are separated from a plain background, and what their widths tell of a body's girths."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Shot, take_photo
from bolid_data.synthetic.pose import draw_pose
from small_world.body_shape import SHAPE, shape_of
from small_world.silhouette import WIDTHS, silhouette, widths
from small_world.world3d.looks import Style, draw_look_of
from small_world.world3d.photos import MEASURES
from small_world.world3d.splits import HELD_OUT
from small_world.worlds import WORLD_3D, World

_PEOPLE = 60
_MOST_TURN = 20.0  # degrees
_STYLE = Style(
    tops=("t-shirt", "long-sleeved top", "sleeveless top", "shirt", "sweater"), legs=("trousers", "jeans", "shorts")
)
_TELLS = dict(zip(WIDTHS, ("shoulder width", "waist girth", "hip girth"), strict=True))


def check(world: World = WORLD_3D, people: int = _PEOPLE) -> dict[str, float]:
    """Overlap of silhouettes with the true masks (intersection over union), share of the pictures whose widths can be
    told, and rank correlation (Spearman) of these widths with what they tell of."""
    drawn = [_draw(number, world.size.side) for number in range(people)]
    masks = [silhouette(image) for image, _, _ in drawn]
    overlap = [(mask & true).sum() / (mask | true).sum() for mask, (_, true, _) in zip(masks, drawn, strict=True)]
    figures = {"IoU, mean": float(np.mean(overlap)), "IoU, the worst tenth": float(np.quantile(overlap, 0.1))}
    shapes = shape_of(np.array([measures for _, _, measures in drawn]))
    for source, some in (("silhouette", masks), ("true mask", [true for _, true, _ in drawn])):
        measured = np.array([widths(mask) for mask in some])
        for width, value in zip(measured.T, WIDTHS, strict=True):
            told, truth = np.isfinite(width), shapes[:, SHAPE.index(_TELLS[value])]
            figures[f"{value}, {source}: told"] = float(told.mean())
            correlation = spearmanr(width[told], truth[told]).statistic if told.sum() > 2 else np.nan
            figures[f"{value}, {source}: rank correlation with {_TELLS[value]}"] = float(correlation)
    return figures


def _draw(number: int, side: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float64]]:
    """A picture of a person as prompts ask for it, the person's mask and measures."""
    seed = (HELD_OUT.seed, number, 9)
    rng, person = np.random.default_rng(seed), draw_person(HELD_OUT.seed, number, HELD_OUT.variety)
    shot = Shot(
        framing="full",
        yaw=float(rng.uniform(-_MOST_TURN, _MOST_TURN)),
        look=draw_look_of(_STYLE, rng, person.sex == "woman"),
        pose=draw_pose(rng, "standing", "down"),
        place="studio",
    )
    photo = take_photo([person], seed, (side * 3 // 2,) * 2, shot)  # reduced, as the world's photos are
    image, share = (
        cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA)
        for layer in (photo.image, photo.truth.mask.astype(np.float32))
    )
    measures = photo.truth.people[0].measures
    return np.asarray(image, np.uint8), np.asarray(share > 0.5), np.array([measures[name] for name in MEASURES])
