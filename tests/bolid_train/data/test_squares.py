"""A photo becomes a square with all of the body on it, and keypoints stay on their joints."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_train.data.features.batches import make_views
from bolid_train.data.features.feature import Photo
from bolid_train.data.features.reference import Embedder, ReferenceEmbedding
from bolid_train.data.features.views import ViewEmbedding, ViewLatents
from bolid_train.data.shard_dataset import Sample
from bolid_train.data.squares import Fit, in_squares, padded, resized
from bolid_train.diffusion.base import Base
from bolid_train.settings import train_model
from tests.support.small_base import small_base

WIDTH, HEIGHT = 80, 120
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionXLPipeline:
    return Base.at("random", small_base()).pipeline(CPU, unet=None)


def _photo(at: tuple[int, int] | None = None) -> Image.Image:
    """Grey, with a white dot."""
    pixels = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    if at:
        pixels[at[1] - 2 : at[1] + 3, at[0] - 2 : at[0] + 3] = 255
    return Image.fromarray(pixels)


def _keypoints(at: tuple[int, int]) -> list[list[float]]:
    return [[float(at[0]), float(at[1]), 0.9]] * 17


@pytest.mark.parametrize("fit", ["pad", "squash"])
@pytest.mark.parametrize("at", [(10, 5), (40, 60), (70, 115)])
def test_a_keypoint_is_where_its_joint_is_in_the_square(fit: Fit, at: tuple[int, int]) -> None:
    side = 60
    square = padded(resized(_photo(at), side, fit), side)
    row, column = np.unravel_index(int(square[0].argmax()), (side, side))
    points = torch.tensor(_keypoints(at))[None] / torch.tensor([WIDTH, HEIGHT, 1.0])
    located, sizes = in_squares(points, torch.tensor([[WIDTH, HEIGHT]]).float(), fit)
    x, y = (located[0, 0, :2] * side).tolist()
    assert abs(x - column) < 2 and abs(y - row) < 2
    assert sizes.tolist() == [[HEIGHT, HEIGHT] if fit == "pad" else [WIDTH, HEIGHT]]


def test_a_joint_outside_of_the_photo_is_not_visible_in_the_padding() -> None:
    points = torch.tensor(_keypoints((-10, 60)))[None] / torch.tensor([WIDTH, HEIGHT, 1.0])
    located, _ = in_squares(points, torch.tensor([[WIDTH, HEIGHT]]).float(), "pad")
    assert 0 < located[0, 0, 0] < 1 and not located[..., 2].any()


def test_distances_between_joints_are_the_same_whichever_way_a_view_becomes_a_square() -> None:
    points = tuple((float(x), float(y), 0.9) for x, y in np.random.default_rng(0).uniform(5, 75, (17, 2)))
    sample = Sample("", "", "", "", 0, 0, WIDTH, HEIGHT, "", points)
    lengths = []
    for fit in ("pad", "squash"):
        views = make_views([[sample]], train_model()(view_fit=fit))
        places = views.keypoints[0, 0, :, :2] * views.sizes[0, 0]
        lengths.append(torch.cdist(places, places))
        assert views.confidence.item() == pytest.approx(0.9)
    torch.testing.assert_close(lengths[0], lengths[1])


def _difference(encoder: object, name: str, at: tuple[int, int]) -> float:
    """By how much a dot changes what an encoder says of a photo."""
    assert callable(encoder)
    keypoints = _keypoints((40, 60))
    with torch.inference_mode():
        bare, dotted = (encoder([Photo(photo, keypoints)])[0][name] for photo in (_photo(), _photo(at)))
    return float((bare - dotted).abs().max())


@pytest.mark.parametrize("at", [(40, 3), (40, 116)], ids=["head", "feet"])
def test_head_and_feet_are_on_a_padded_reference_and_cropped_off_in_the_stock_pipeline(
    pipe: StableDiffusionXLPipeline, at: tuple[int, int]
) -> None:
    encoders = {fit: ReferenceEmbedding(train_model()(reference_fit=fit)).encoder(pipe) for fit in ("pad", "crop")}
    assert _difference(encoders["pad"], "image_embeds", at) > 1e-3
    assert _difference(encoders["crop"], "image_embeds", at) == 0


@pytest.mark.parametrize("at", [(40, 3), (40, 116)], ids=["head", "feet"])
def test_head_and_feet_are_on_a_view(pipe: StableDiffusionXLPipeline, at: tuple[int, int]) -> None:
    settings = train_model()(weighting=False)
    assert _difference(ViewEmbedding(settings).encoder(pipe), "view_embeds", at) > 1e-3
    assert _difference(ViewLatents(settings).encoder(pipe), "view_latents", at) > 1e-3


def test_padding_is_zero_after_normalisation_and_a_square_photo_is_what_the_stock_pipeline_sees(
    pipe: StableDiffusionXLPipeline,
) -> None:
    seen: list[Tensor] = []
    hook = pipe.image_encoder.register_forward_pre_hook(lambda _, args, kwargs: seen.append(
        args[0] if args else kwargs["pixel_values"]), with_kwargs=True)  # fmt: skip
    embed = Embedder(pipe)
    with torch.inference_mode():
        embed([resized(_photo(), embed.side, "pad")])
        square = _photo((40, 60)).crop((0, 20, 80, 100)).resize((64, 64))
        ours = embed([resized(square, embed.side, "pad")])
        stock = pipe.encode_image(square, CPU, 1)[0]
    hook.remove()
    pixels = seen[0][0]
    width = round(embed.side * WIDTH / HEIGHT)
    left = (embed.side - width) // 2
    assert not pixels[:, :, :left].any() and not pixels[:, :, left + width :].any()
    assert (pixels[:, :, left : left + width] != 0).all()
    torch.testing.assert_close(ours, stock, atol=1e-5, rtol=1e-5)


def test_square_views_are_the_same_padded_and_squashed(pipe: StableDiffusionXLPipeline) -> None:
    photo = Photo(_photo((40, 60)).crop((0, 20, 80, 100)), _keypoints((40, 40)))
    with torch.inference_mode():
        both = [
            ViewEmbedding(train_model()(view_fit=fit)).encoder(pipe)([photo])[0]["view_embeds"]
            for fit in ("pad", "squash")
        ]
    assert torch.equal(*both)
