"""The network of `bolid-watermark`, trained by `small_world/training/watermark.py`.

It classifies every patch of the photo by whether overlaid ink runs through it, and the photo by its highest-scoring
patches: a watermark may cover a hundredth of a photo, and an average over all patches would lose it.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

SIDE = 512
"""Longest side in pixels of the network's input; at 256 the lines of faint text are lost."""

STRIDE = 16
"""Width and height in pixels of a patch."""

TOP_PATCHES = 8
"""The photo's logit is the mean over this many patches, the highest: about what a short line of text covers."""


class WatermarkNetwork(nn.Module):
    """ResNet-10 (He et al., 2016) with narrow layers and stride 16, and two heads on every patch: a linear one, and one
    that takes in the surrounding patches and the whole photo, by which print and foliage differ from a watermark."""

    offset: Tensor
    slope: Tensor

    def __init__(self) -> None:
        from timm.models.resnet import BasicBlock, ResNet  # takes seconds, and a compiled network does not need it

        super().__init__()
        self.backbone = ResNet(
            BasicBlock,  # type: ignore[arg-type]  # timm annotates an instance and means the class
            (1, 1, 1, 1),
            channels=(32, 64, 96, 128),
            stem_type="deep",
            stem_width=8,
            output_stride=STRIDE,
        )
        self.backbone.reset_classifier(0, "")
        self.head = nn.Conv2d(128, 1, 1)
        last = nn.Conv2d(64, 1, 1)
        self.context = nn.Sequential(
            *(nn.Conv2d(128, 64, 3, padding=2, dilation=2, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
            *(nn.Conv2d(64, 64, 3, padding=4, dilation=4, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
            last,
        )
        self.whole = nn.Linear(128, 1)
        for part in (last.weight, last.bias, self.whole.weight, self.whole.bias):
            if part is not None:
                nn.init.zeros_(part)
        # Calibrated in training: where a photo's logit is 0, and how steep the probability is there.
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("slope", torch.ones(()))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (b, 3, h, w) in 0..1 to the patches' logits (b, h/16, w/16) and the images' logits (b,)."""
        features = self.backbone.forward_features(images * 2 - 1)
        around = self.context(features) + self.whole(features.mean((2, 3)))[..., None, None]
        patches = (self.head(features) + around).squeeze(1).float()
        highest = patches.flatten(1).topk(min(TOP_PATCHES, patches[0].numel())).values.mean(1)
        return patches, (highest - self.offset) * self.slope


def load(path: Path) -> WatermarkNetwork:
    """The network with weights from a safetensors file, ready to measure."""
    network = WatermarkNetwork()
    network.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return network.eval()
