"""Changes that a photo may undergo and its person stays the same, for a batch at a time.

Images are (B, 3, H, W) in -1..1, keypoints (B, 17, 3). Each photo is changed by its own draw.
"""

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

MIRRORED = [0, *(joint + 1 if joint % 2 else joint - 1 for joint in range(1, 17))]
"""The joints' order with left and right exchanged."""


def move(
    images: Tensor,
    keypoints: Tensor,
    generator: Generator,
    scale: float,
    shift: float,
    turn: float,
    still: float = 0.3,
    offset: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Mirrors half of the photos; those but a share `still` are also scaled (by up to a factor of 1 ± `scale`), shifted
    (by up to `shift` of the side) and turned (by up to `turn` radians). What leaves the photo is no longer visible.

    Keypoints lie `offset` pixels left of and above their place in the image, where pixel i covers i..i+1.
    """
    count, side = len(images), images.shape[-1]
    moved = _draw(generator, count, 0, 1) >= still
    zoom = torch.where(moved, 1 + _draw(generator, count, -scale, scale), 1)
    angle = torch.where(moved, _draw(generator, count, -turn, turn), 0)
    away = torch.where(moved[:, None], _draw(generator, (count, 2), -2 * shift, 2 * shift), 0)
    mirrored = _draw(generator, count, 0, 1) < 0.5
    sign = torch.where(mirrored, -1.0, 1.0)
    # From places in the new photo to places in the old one, both in -1..1.
    cosine, sine = angle.cos() / zoom, angle.sin() / zoom
    linear = torch.stack([torch.stack([sign * cosine, -sign * sine], 1), torch.stack([sine, cosine], 1)], 1)
    grid = affine_grid(torch.cat([linear, away[..., None]], 2), list(images.shape), align_corners=False)
    sampled = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    old = (keypoints[..., :2] + offset) * 2 / side - 1
    new = torch.linalg.solve(linear, (old - away[:, None]).transpose(1, 2)).transpose(1, 2)
    places = (new + 1) * side / 2 - offset
    inside = ((places >= 0) & (places < side)).all(2)
    points = torch.cat([places, (keypoints[..., 2] * inside)[..., None]], 2)
    return sampled, torch.where(mirrored[:, None, None], points[:, MIRRORED], points)


def recolour(images: Tensor, generator: Generator, strength: float) -> Tensor:
    """Other contrast, brightness and tint, and less or more saturation; a `strength` of 1 is hard on the eye."""
    count = len(images)
    grey = images.mean(1, keepdim=True)
    saturation = _draw(generator, count, 1 - strength, 1 + 0.5 * strength)
    contrast = _draw(generator, (count, 3), 1 - 0.5 * strength, 1 + 0.5 * strength)
    brightness = _draw(generator, count, -0.5 * strength, 0.5 * strength)
    vivid = grey + (images - grey) * saturation[:, None, None, None]
    return (vivid * contrast[..., None, None] + brightness[:, None, None, None]).clamp(-1, 1)


def blur(images: Tensor, generator: Generator) -> Tensor:
    """From sharp to as soft as a VAE's first tries."""
    soft = pad(images, (2, 2, 2, 2), mode="replicate")
    for _ in range(4):  # sums of neighbours make the weights 1 4 6 4 1, six times faster than a convolution
        soft = soft[..., 1:] + soft[..., :-1]
    for _ in range(4):
        soft = soft[..., 1:, :] + soft[..., :-1, :]
    share = _draw(generator, len(images), -0.6, 1).clamp(0)
    return images.lerp(soft / 256, share[:, None, None, None])


def noise(images: Tensor, generator: Generator, most: float) -> Tensor:
    """Gaussian noise of a deviation up to `most`; a third of the photos get none."""
    deviation = _draw(generator, len(images), -most / 2, most).clamp(0)
    return images + torch.randn(images.shape, generator=generator) * deviation[:, None, None, None]


def restyle(images: Tensor, generator: Generator) -> Tensor:
    """Photos in other hands: grey, in exchanged or inverted colours, in few colours, or with inked edges, each by
    chance. Shapes stay, strokes do not."""
    images = torch.where(_chance(generator, images, 0.2), images.mean(1, keepdim=True), images)
    order = torch.rand(len(images), 3, generator=generator).argsort(1)
    exchanged = images.gather(1, order[..., None, None].expand_as(images))
    images = torch.where(_chance(generator, images, 0.4), exchanged, images)
    images = torch.where(_chance(generator, images, 0.15), -images, images)
    levels = _draw(generator, len(images), 2, 5)[:, None, None, None]
    images = torch.where(_chance(generator, images, 0.15), (images * levels).round() / levels, images)
    padded = pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    edges = (across.square() + down.square()).mean(1, keepdim=True).sqrt()
    ink = _draw(generator, len(images), 0.5, 2)[:, None, None, None]
    return torch.where(_chance(generator, images, 0.25), (images - ink * edges).clamp(-1, 1), images)


def _draw(generator: Generator, size: int | tuple[int, ...], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(size, generator=generator)


def _chance(generator: Generator, images: Tensor, share: float) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, generator=generator) < share
