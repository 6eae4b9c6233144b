"""The batched Gaussian weighting against the formula, pixel by pixel."""

import math

import pytest
import torch
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_train.data.weighting import gaussian_weights, visible, weight_views

SIDE, SIGMA, ALPHA = 24, 50 / 1024, 0.1


def _keypoints(seed: int = 0) -> Tensor:
    """(2, 17, 3); some not visible, standing at (0, 0) as pose models give them."""
    torch.manual_seed(seed)
    points = torch.cat([torch.rand(2, 17, 2) * SIDE, torch.rand(2, 17, 1)], dim=-1)
    points[:, 3] = 0
    return points


def _by_the_formula(image: Tensor, keypoints: Tensor, sigma: float, chosen: range) -> Tensor:
    seen = [(x, y) for x, y, confidence in keypoints[list(chosen)].tolist() if confidence >= 0.5]
    weights = [
        [
            max(math.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in seen)
            for x in range(image.shape[2])
        ]
        for y in range(image.shape[1])
    ]
    top = max(map(max, weights))
    return torch.stack(
        [
            torch.tensor(
                [
                    [value * (ALPHA + (1 - ALPHA) * w / top) for value, w in zip(row, weight_row, strict=True)]
                    for row, weight_row in zip(channel.tolist(), weights, strict=True)
                ]
            )
            for channel in image
        ]
    )


@pytest.mark.parametrize(("count", "chosen"), [(17, range(17)), (12, range(5, 17))])
def test_weighting_is_the_papers(count: int, chosen: range) -> None:
    images, keypoints = torch.rand(2, 3, SIDE, SIDE), _keypoints()
    seen = visible(keypoints, SIDE, SIDE, 0.5, count)
    weighted = weight_views(images, keypoints[..., :2], seen, SIGMA, ALPHA)
    for image, points, got in zip(images, keypoints, weighted, strict=True):
        expected = _by_the_formula(image, points, SIGMA * SIDE, chosen)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_a_keypoint_not_seen_leaves_no_trace_at_the_origin() -> None:
    keypoints = torch.zeros(1, 17, 3)
    keypoints[0, 8] = torch.tensor([20.0, 20.0, 0.9])
    weights = gaussian_weights(keypoints[..., :2], visible(keypoints, SIDE, SIDE, 0.5), SIDE, SIDE, SIGMA)
    assert weights[0, 20, 20] == 1
    assert weights[0, 0, 0] < 1e-6


def test_a_photo_without_visible_keypoints_is_refused() -> None:
    keypoints = torch.zeros(1, 17, 3)
    keypoints[0, :, 2] = 0.49
    keypoints[0, 0] = torch.tensor([-5.0, 3.0, 0.9])  # confident, but outside the image
    keypoints[0, 1] = torch.tensor([3.0, 3.0, 0.9])  # an eye, which is not among the twelve
    with pytest.raises(BolidError, match="without a visible keypoint"):
        gaussian_weights(keypoints[..., :2], visible(keypoints, SIDE, SIDE, 0.5, 12), SIDE, SIDE, SIGMA)


def test_sigma_grows_with_the_image() -> None:
    def at(side: int) -> Tensor:
        keypoints = torch.tensor([[[side / 2, side / 2, 0.9]]]).expand(1, 17, 3)
        seen = visible(keypoints, side, side, 0.5)
        return gaussian_weights(keypoints[..., :2], seen, side, side, SIGMA)[0, side // 2, side // 2 + side // 8]

    torch.testing.assert_close(at(64), at(256), atol=1e-4, rtol=0)
