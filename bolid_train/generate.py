"""`bolid generate`: an image of a person from a prompt and none, one or several photos."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bolid_data.errors import BolidError, UsageError
from bolid_data.images import read_upright
from bolid_data.manifest import Manifest, Train
from bolid_data.progress import note
from bolid_train import adapter, conditioning
from bolid_train.base import Base, pick_device
from bolid_train.batches import Batch
from bolid_train.body.weighting import visible
from bolid_train.conditioning.protocol import Method, UNetInputs
from bolid_train.encoders import Encoders, Keypoints
from bolid_train.runs import run_folder
from bolid_train.sampler import sample


@dataclass(frozen=True)
class _View:
    photo: Image.Image
    keypoints: Keypoints  # (17, 3), pixels of the photo


def generate(
    data: Path,
    run: str | None,
    prompt: str,
    photos: list[Path],
    image_prompt: Path | None,
    scale_ref: float,
    scale_body: float,
    seed: int,
    out: Path,
    steps: int,
    guidance: float,
    manifest: Manifest,
) -> dict[str, Any]:
    """Writes one PNG to `out`, its settings in its metadata, and returns what was done.

    The body comes from all `photos`, the reference from `image_prompt` or else the first photo. Without
    photos the body is drawn from the spread of those seen in training; without a reference its scale is 0.
    With both scales 0 the image is the base's own. Raises BolidError for a photo that is broken or shows no
    one, UsageError for bad usage.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"{out}: images are written as PNG; name it .png")
    name = run or manifest.train.method
    folder = run_folder(data, name)
    made = adapter.read(folder)
    settings, device = Train.model_validate(made.settings), pick_device()
    views = _find_people(photos, manifest.models.pose, settings)
    reference = _open(image_prompt) if image_prompt else views[0].photo if views else None
    scale_ref = scale_ref if reference else 0.0
    if not views:
        note("generate: no photo given: the body is drawn from the spread of the people seen in training")

    pipe = Base.find(settings, manifest.folder).pipeline(device)
    method = conditioning.find(made.method)(settings, made.ref_dim)
    method.install(pipe.unet)
    method.load(folder)
    method.scale("ref", scale_ref)
    method.scale("body", scale_body)
    encoders = Encoders(pipe, settings)
    torch.manual_seed(seed)
    with torch.inference_mode():
        positive, negative = _conditions(method, encoders, prompt, reference, views, settings.resolution, made.ref_dim)
        image = sample(pipe, positive, negative, steps, guidance, settings.resolution, seed)
    facts = {
        "prompt": prompt,
        "run": name,
        "base": made.base,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "scale_ref": scale_ref,
        "scale_body": scale_body,
        "body": "photos" if views else "drawn",
    }
    _write_png(image, facts, out)
    return {"out": str(out), "width": image.width, "height": image.height, "photos": len(views), **facts}


def _conditions(
    method: Method,
    encoders: Encoders,
    prompt: str,
    reference: Image.Image | None,
    views: list[_View],
    resolution: int,
    ref_dim: int,
) -> tuple[UNetInputs, UNetInputs]:
    """What the UNet gets with the person and the prompt, and without either (for guidance)."""
    device = encoders.pipe.device
    prompt_embeds, negative_embeds, pooled, negative_pooled = encoders.pipe.encode_prompt(prompt)
    view_embeds, confidence = torch.zeros(1, ref_dim), torch.zeros(1)
    if views:
        view_embeds, confidence = encoders.views([view.photo for view in views], [view.keypoints for view in views])
    batch = Batch(
        latents=torch.zeros(1, encoders.pipe.unet.config.in_channels, 0, 0),
        keypoints=torch.zeros(1, 17, 3),
        prompt_embeds=prompt_embeds,
        pooled_prompt_embeds=pooled,
        time_ids=torch.tensor([[resolution, resolution, 0, 0, resolution, resolution]]),
        image_embeds=encoders.references([reference]) if reference else torch.zeros(1, ref_dim),
        view_embeds=view_embeds[None],
        confidence=confidence[None],
    ).to(device)
    bare = replace(batch, prompt_embeds=negative_embeds, pooled_prompt_embeds=negative_pooled)
    negative = method.drop(method.drop(method.condition(bare), "ref"), "body")
    return method.condition(batch), negative


def _find_people(photos: list[Path], pose: str, settings: Train) -> list[_View]:
    """The most prominent person of each photo. Raises BolidError naming a photo that is broken or shows no one."""
    if not photos:
        return []
    from bolid_data.curate.measure import Photo
    from bolid_data.curate.people import PoseMeasurer

    images = [_open(path) for path in photos]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in photos]
    named = [Photo(sha256, image) for sha256, image in zip(hashes, images, strict=True)]
    seen = PoseMeasurer(pose, pick_device().type).measure(named)["detections"]
    views = []
    for path, sha256, image in zip(photos, hashes, images, strict=True):
        found = [row for row in seen if row["sha256"] == sha256 and row["score"] >= 0.5]
        if not found:
            raise BolidError(f"{path}: no person found in it; give a photo that shows the person")
        keypoints = max(found, key=_prominence)["keypoints"]
        points = torch.tensor([keypoints], dtype=torch.float32)
        if not visible(points, image.height, image.width, settings.min_keypoint_confidence, settings.keypoints).any():
            raise BolidError(f"{path}: the person in it shows no visible keypoint; give a photo that shows the body")
        views.append(_View(image, keypoints))
    return views


def _prominence(row: dict[str, Any]) -> float:
    left, top, right, bottom = row["box"]
    return row["score"] * (right - left) * (bottom - top)


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise UsageError(f"{path}: no such photo")
    try:
        return read_upright(path)
    except BolidError as error:
        raise BolidError(f"{path}: {error}; give another photo") from error


def _write_png(image: Image.Image, facts: dict[str, Any], out: Path) -> None:
    info = PngInfo()
    for key, value in facts.items():
        info.add_itxt(key, str(value))
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.part")
    image.save(unfinished, format="PNG", pnginfo=info)
    unfinished.replace(out)
