"""`bolid generate`: images of a person from a prompt and zero or more photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bolid_data.atomic_io import atomic_write
from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest
from bolid_data.progress import note
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import pick_device
from bolid_train.inference.pipeline import InferencePipeline
from bolid_train.inference.reference_photos import detect_people, open_photo
from bolid_train.methods import adapter
from bolid_train.methods.adapter import run_folder

_STEPS, _GUIDANCE = 30, 5.0


@dataclass(frozen=True)
class Request:
    """The options of `bolid generate`."""

    prompt: str
    out: Path  # a PNG; several images become out-0.png, out-1.png …
    run: str | None = None  # by default named like the manifest's method
    photos: Sequence[Path] = ()  # of the person
    image_prompt: Path | None = None  # the reference, instead of the photos
    blend: Sequence[Path] = ()  # photos of a second person, with whose body the first one's is interpolated
    blend_weight: float = 0.5  # 0: the first body, 1: the second
    scale_ref: float = 1.0
    scale_body: float = 1.0
    seed: int = 0  # of the first image; incremented for each further one
    count: int = 1
    steps: int | None = None  # by default 30, with Lightning 4
    guidance: float | None = None  # by default 5, with Lightning none
    lightning: str | None = None  # a name for `lightning.resolve`
    base: str | None = None  # a base fine-tuned from the run's, to use instead


def generate(data: Path, manifest: Manifest, request: Request) -> dict[str, Any]:
    """Writes PNGs with their settings as metadata, and returns a summary.

    The body comes from all photos, and so does the reference unless there is an image prompt. Without photos the body
    is sampled from the method's prior, if it has one; without a reference its scale is 0. With both scales 0 the
    image is the base's. Raises BolidError for a photo that is broken or shows nobody, UsageError for invalid options.
    """
    if request.out.suffix.lower() != ".png":
        raise UsageError(f"{request.out}: images are written as PNG; name it .png")
    if request.blend and not request.photos:
        raise UsageError("--blend interpolates from the body of --photo to another; give --photo too")
    name = request.run or manifest.train.method
    folder = run_folder(data, name)
    run_adapter = adapter.read(folder)
    settings, device = run_adapter.train_settings(folder / "adapter.json"), pick_device()
    adapter.refuse_untrusted_models(settings, manifest, folder / "adapter.json")
    background = manifest.filter.background
    photos, blend_photos = (
        detect_people(paths, settings, device, background) for paths in (request.photos, request.blend)
    )
    image_prompt = open_photo(request.image_prompt, background) if request.image_prompt else None
    lightning_file = lightning.resolve(request.lightning, Path()) if request.lightning else None
    body = "photos" if photos else "drawn" if _has_prior(run_adapter) else "none"
    if body == "drawn":
        note("generate: no photo given: the body is sampled from the prior given the prompt")

    metadata = _metadata(request, run_adapter, name, body)
    pipeline = InferencePipeline.from_run(folder, run_adapter, manifest.folder, request.base, lightning_file)
    pipeline.method.scale("ref", metadata["scale_ref"])
    pipeline.method.scale("body", metadata["scale_body"])
    batch = pipeline.batch(request.prompt, photos, image_prompt)
    blend_batch = pipeline.batch(request.prompt, blend_photos) if blend_photos else None
    written = []
    for number in range(request.count):
        seed = request.seed + number
        positive, negative = pipeline.conditions(batch, seed)
        if blend_batch:
            blended = pipeline.conditions(blend_batch, seed)[0]
            positive = pipeline.method.blend(positive, blended, request.blend_weight)
        image = pipeline.generate((positive, negative), metadata["steps"], metadata["guidance"], seed)
        out = request.out if request.count == 1 else request.out.with_stem(f"{request.out.stem}-{number}")
        _write_png(image, metadata | {"seed": seed}, out)
        written.append(str(out))
    size = {"width": settings.resolution, "height": settings.resolution}
    return {"out": str(request.out), "pictures": written, **size, "photos": len(photos), **metadata}


def _metadata(request: Request, run_adapter: adapter.Adapter, run: str, body: str) -> dict[str, Any]:
    """The PNG's metadata, with defaults filled in."""
    steps, guidance = (lightning.STEPS, 0.0) if request.lightning else (_STEPS, _GUIDANCE)
    metadata = {
        "prompt": request.prompt,
        "run": run,
        "base": request.base or run_adapter.base,
        "seed": request.seed,
        "steps": steps if request.steps is None else request.steps,
        "guidance": guidance if request.guidance is None else request.guidance,
        "scale_ref": request.scale_ref if request.photos or request.image_prompt else 0.0,
        "scale_body": request.scale_body,
        "body": body,
    }
    if request.lightning:
        metadata["lightning"] = request.lightning
    if request.blend:
        metadata["blend_weight"] = request.blend_weight
    return metadata


def _has_prior(run_adapter: adapter.Adapter) -> bool:
    return any(component.kind == "body-prior" for component in run_adapter.components)


def _write_png(image: Image.Image, metadata: dict[str, Any], out: Path) -> None:
    info = PngInfo()
    for key, value in metadata.items():
        info.add_itxt(key, str(value))
    with atomic_write(out) as partial:
        image.save(partial, format="PNG", pnginfo=info)
