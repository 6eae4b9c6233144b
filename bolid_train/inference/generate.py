"""`bolid generate`: pictures of a person from a prompt and none, one or several photos."""

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
from bolid_train.inference.pipeline import Painter
from bolid_train.inference.reference_photos import find_people, open_photo
from bolid_train.methods import adapter
from bolid_train.methods.adapter import run_folder

_STEPS, _GUIDANCE = 30, 5.0


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    prompt: str
    out: Path  # a PNG; several pictures are out-0.png, out-1.png …
    run: str | None = None  # the manifest's method where none is given
    photos: Sequence[Path] = ()  # of the person
    image_prompt: Path | None = None  # the reference, in place of the photos
    blend: Sequence[Path] = ()  # photos of a second person, whose body …
    blend_weight: float = 0.5  # … the first one's goes towards: at 0 it stays, at 1 it arrives
    scale_ref: float = 1.0
    scale_body: float = 1.0
    seed: int = 0  # of the first picture; the next has the next
    count: int = 1
    steps: int | None = None  # 30 where none are given, with Lightning 4
    guidance: float | None = None  # 5 where none is given, with Lightning none
    lightning: str | None = None  # what `lightning.find` takes
    base: str | None = None  # a base in place of the run's, fine-tuned from it


def generate(data: Path, manifest: Manifest, request: Request) -> dict[str, Any]:
    """Writes PNGs with their settings in their metadata, and returns what was done.

    The body comes from all photos, and so does the reference unless there is an image prompt. Without photos the body
    is drawn from the method's prior, if it has one; without a reference its scale is 0. With both scales 0 the image is
    the base's own. Raises BolidError for a photo that is broken or shows no one, UsageError for bad usage.
    """
    if request.out.suffix.lower() != ".png":
        raise UsageError(f"{request.out}: images are written as PNG; name it .png")
    if request.blend and not request.photos:
        raise UsageError("--blend goes from the body of --photo to another; give --photo too")
    name = request.run or manifest.train.method
    folder = run_folder(data, name)
    made = adapter.read(folder)
    settings, device = made.train_settings(folder / "adapter.json"), pick_device()
    adapter.refuse_strange_models(settings, manifest, folder / "adapter.json")
    background = manifest.filter.background
    people, others = (find_people(paths, settings, device, background) for paths in (request.photos, request.blend))
    image_prompt = open_photo(request.image_prompt, background) if request.image_prompt else None
    fast = lightning.find(request.lightning, Path()) if request.lightning else None
    body = "photos" if people else "drawn" if _has_prior(made) else "none"
    if body == "drawn":
        note("generate: no photo given: the body is drawn from the prior given the prompt")

    facts = _facts(request, made, name, body)
    painter = Painter.of(folder, made, manifest.folder, request.base, fast)
    painter.method.scale("ref", facts["scale_ref"])
    painter.method.scale("body", facts["scale_body"])
    batch = painter.batch(request.prompt, people, image_prompt)
    other = painter.batch(request.prompt, others) if others else None
    written = []
    for number in range(request.count):
        seed = request.seed + number
        positive, negative = painter.conditions(batch, seed)
        if other:
            positive = painter.method.blend(positive, painter.conditions(other, seed)[0], request.blend_weight)
        image = painter.paint((positive, negative), facts["steps"], facts["guidance"], seed)
        out = request.out if request.count == 1 else request.out.with_stem(f"{request.out.stem}-{number}")
        _write_png(image, facts | {"seed": seed}, out)
        written.append(str(out))
    side = settings.resolution
    return {"out": str(request.out), "pictures": written, "width": side, "height": side, "photos": len(people), **facts}


def _facts(request: Request, made: adapter.Adapter, run: str, body: str) -> dict[str, Any]:
    """What stands in the PNG; numbers that were not asked for are what they are by default."""
    steps, guidance = (lightning.STEPS, 0.0) if request.lightning else (_STEPS, _GUIDANCE)
    facts = {
        "prompt": request.prompt,
        "run": run,
        "base": request.base or made.base,
        "seed": request.seed,
        "steps": steps if request.steps is None else request.steps,
        "guidance": guidance if request.guidance is None else request.guidance,
        "scale_ref": request.scale_ref if request.photos or request.image_prompt else 0.0,
        "scale_body": request.scale_body,
        "body": body,
    }
    if request.lightning:
        facts["lightning"] = request.lightning
    if request.blend:
        facts["blend_weight"] = request.blend_weight
    return facts


def _has_prior(made: adapter.Adapter) -> bool:
    return any(component.kind == "body-prior" for component in made.components)


def _write_png(image: Image.Image, facts: dict[str, Any], out: Path) -> None:
    info = PngInfo()
    for key, value in facts.items():
        info.add_itxt(key, str(value))
    with atomic_write(out) as partial:
        image.save(partial, format="PNG", pnginfo=info)
