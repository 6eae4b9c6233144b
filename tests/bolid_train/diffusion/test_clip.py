"""Any CLIP can be what losses train against; the small world's own are tested in `tests/small_world/`."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPProcessor

from bolid_data.errors import BolidError, UsageError
from bolid_train.diffusion.clip import load_clip
from small_world.clip import build_clip
from tests.support.small_base import small_base


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary CLIP's folder."""
    folder = tmp_path_factory.mktemp("clips") / "mine"
    clip = build_clip(width=32, image_layers=1, text_layers=1)
    for part in (clip.model, clip.tokenizer, clip.image_processor):
        part.save_pretrained(folder)
    return folder


def test_a_folder_is_found_near_the_manifest_and_loaded_frozen(folder: Path) -> None:
    model = load_clip("mine", relative_to=folder.parent).model
    assert not model.training and not any(value.requires_grad for value in model.parameters())


def test_weights_in_half_precision_alone_are_loaded(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").rename(tmp_path / "half" / "model.fp16.safetensors")
    half, full = (
        load_clip(name, parent).model.state_dict() for name, parent in (("half", tmp_path), (str(folder), None))
    )
    assert all(torch.equal(half[name], full[name]) for name in full)


def test_photos_that_are_not_square_are_seen_as_the_stock_processor_sees_them(folder: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(256, (3, 6, 9), generator=generator, dtype=torch.uint8)
    photo = Image.fromarray(coarse.permute(1, 2, 0).numpy()).resize((150, 101))
    stock = CLIPProcessor.from_pretrained(folder)(images=photo, return_tensors="pt").pixel_values
    image = torch.tensor(list(photo.tobytes())).view(1, 101, 150, 3).movedim(3, 1) / 127.5 - 1
    ours = load_clip(str(folder)).pixel_values(image)
    assert ours.shape == stock.shape
    assert (ours - stock).abs().mean() < 0.02


def test_what_is_no_clip_of_images_and_texts_is_refused() -> None:
    with pytest.raises(UsageError, match="clip_vision_model"):
        load_clip("image_encoder", relative_to=small_base())


def test_a_damaged_file_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "clip")
    weights = next((tmp_path / "clip").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BolidError, match="cannot be loaded"):
        load_clip("clip", tmp_path)


def test_an_image_loss_reaches_the_pixels_of_images_of_any_size() -> None:
    images = torch.zeros(2, 3, 128, 96, requires_grad=True)
    clip = load_clip("clip-0")
    (1 - (clip.embed_images(images) * clip.embed_texts(["a photo of a person"])).sum(1)).sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().amax(dim=(1, 2, 3)) > 0).all()
