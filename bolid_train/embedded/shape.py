"""The shape judge: reads a body's proportions and BMI from one picture, and tells how sure it is of each.

It is pose-guided, as the body evaluator is, but shares no weights with it, nor with the networks that adapters may be
trained with.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bolid_train.embedded.backbone import Backbone, load_embedded
from bolid_train.embedded.keypoints import KEYPOINTS, confidence, expected_positions

SHAPE = ("legs", "arms", "shoulder width", "hip width", "chest girth", "waist girth", "hip girth", "BMI")
"""Shares of the stature, but for the BMI in kg/m². Legs: thigh and shin. Arms: upper arm and forearm."""

SIDE = 128
"""Side in pixels of the judge's inputs; other images are resized."""

SIZE = 256
_WIDTHS = (16, 48, 96, 128, 128)  # of the stages, whose sides are 64, 32, 16, 8, 4
_FEATURES = 32
_OTHER_POINTS = 15  # that the judge places where it likes, such as on both ends of the waist
_POINTS = KEYPOINTS + _OTHER_POINTS
_PAIRS = torch.triu_indices(_POINTS, _POINTS, offset=1)
_LEAST_VARIANCE = 0.02  # that several pictures leave open
_EPSILON = 1 / 64  # added to distances, in sides of the image, to bound their logarithm


class ShapeNetwork(nn.Module):
    """Pictures to SHAPE, in standard deviations from the mean adult, with a variance for each value."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone(widths=_WIDTHS)
        self.lateral = nn.ModuleList(nn.Conv2d(width, _FEATURES, 1) for width in _WIDTHS[1:])
        self.head = nn.Sequential(
            nn.Conv2d(_FEATURES, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.SiLU(),
            nn.Conv2d(64, _POINTS + KEYPOINTS, 1),
        )
        self.describe = nn.Sequential(
            nn.Linear(_PAIRS.shape[1] + KEYPOINTS + _POINTS * _FEATURES, SIZE, bias=False),
            nn.BatchNorm1d(SIZE),
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Linear(SIZE, SIZE, bias=False),
            nn.BatchNorm1d(SIZE),
            nn.SiLU(),
        )
        self.judge = nn.Linear(SIZE, 2 * len(SHAPE))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in -1..1 to means and variances (B, SHAPE)."""
        if images.shape[2:] != (SIDE, SIDE):
            images = interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)
        features = self.features(images)
        return self.read(self.describe_body(features, *self.points(features)))

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, 128, 128) to features (B, 32, 32, 32): all stages but the first, from coarse to fine."""
        stages = self.backbone(images)[1:]
        joined: Tensor = self.lateral[-1](stages[-1])
        for lateral, stage in zip(reversed(self.lateral[:-1]), reversed(stages[:-1]), strict=True):
            joined = lateral(stage) + interpolate(joined, scale_factor=2.0, mode="nearest")
        return joined

    def points(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features to log-probabilities of each point's position (B, points, 32, 32), of which the first 17 are joints,
        and logits of these joints' being visible at each position (B, 17, 32, 32)."""
        heat, visible = self.head(features).float().split((_POINTS, KEYPOINTS), dim=1)
        return heat.flatten(2).log_softmax(2).view_as(heat), visible

    def describe_body(self, features: Tensor, heat: Tensor, visible: Tensor) -> Tensor:
        """Descriptions (B, SIZE), from the logarithms of all distances between points, the features at every point, and
        the joints' being visible."""
        positions = expected_positions(heat)
        certainty = confidence(heat[:, :KEYPOINTS], visible).sigmoid()
        first, second = _PAIRS.to(positions.device)
        distances = ((positions[:, first] - positions[:, second]).square().sum(2) + _EPSILON**2).sqrt().log()
        local = torch.einsum("bkhw,bchw->bkc", heat.exp(), features.float())
        return self.describe(torch.cat([distances, certainty, local.flatten(1)], dim=1))

    def read(self, description: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptions (B, SIZE) to means and variances (B, SHAPE)."""
        mean, log_precision = self.judge(description).float().chunk(2, dim=1)
        return mean, 1 / (1 + log_precision.exp())  # 1: what is known without a picture, the variance among adults


def agreement(means: Tensor) -> Tensor:
    """How far the means (N, V, SHAPE) of N people's V pictures agree (SHAPE,): the share of their variance that is
    between people (the intraclass correlation ICC(1), Shrout and Fleiss 1979), 1 if they do not vary. It needs no true
    value."""
    count = means.shape[1]
    between, within = count * means.mean(1).var(0), means.var(1).mean(0)
    return ((between - within) / (between + (count - 1) * within)).clamp(0, 1).nan_to_num(1.0)


def together(mean: Tensor, variance: Tensor, agreed: Tensor) -> tuple[Tensor, Tensor]:
    """What several pictures of a person tell: means and variances (V, …, SHAPE) of each to those (…, SHAPE) of all.

    A picture's mean is drawn towards the mean adult, so an average of several is drawn too far. By how much depends on
    `agreed` (SHAPE,), their `agreement`: what all pictures tell, such as the sex, is new in the first of them alone.
    """
    certainty = 1 / variance
    gain = 1 / (agreed + (1 - agreed) / len(mean))
    average = (mean * certainty).sum(0) / certainty.sum(0)
    return average * gain, (1 - (1 - variance).mean(0) * gain).clamp(min=_LEAST_VARIANCE)


def load_shape_judge(name: str = "tiny-shape-3d") -> ShapeNetwork:
    """The trained judge, frozen: `tiny-shape-3d`, or `tiny-shape-lines-3d` for drawings of the second renderer."""
    return load_embedded(ShapeNetwork(), name)
