"""`bolid generate`: images of a person from a prompt and zero or more photos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bolid_data.atomic_io import atomic_write
from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest, Train
from bolid_data.progress import note
from bolid_data.words import counted, named
from bolid_train.data.buckets import Size
from bolid_train.data.features.face import FaceEmbedding
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import pick_device
from bolid_train.inference.boxes import parse_box
from bolid_train.inference.pipeline import InferencePipeline, Person
from bolid_train.inference.poses import named_pose, with_pose_of_base
from bolid_train.inference.reference_photos import ReferencePhoto, detect_people, open_photo, photos_in
from bolid_train.methods import adapter, registry
from bolid_train.methods.adapter import run_folder
from bolid_train.methods.spec import MethodSpec

_STEPS, _GUIDANCE = 30, 5.0
_SIDE_STEP = 8  # pixels of a latent pixel


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
    people: Sequence[Path] = ()  # of several people, instead of `photos`: a photo of each, or a folder of photos
    boxes: Sequence[str] = ()  # `left,top,right,bottom` in pixels of the image, where each of the people is to be
    pose: Path | None = None  # a photo of anyone in the pose to take, or a pose's name; by default the base's own
    scale_ref: float | None = None  # by default the method's, usually 1
    scale_body: float | None = None
    scales: Mapping[str, float] = field(default_factory=dict)  # of other conditions, by name
    seed: int = 0  # of the first image; incremented for each further one
    count: int = 1
    width: int | None = None  # by default the side that the run was trained on
    height: int | None = None
    negative_prompt: str | None = None
    steps: int | None = None  # by default 30, with Lightning 4
    guidance: float | None = None  # by default 5, with Lightning none
    lightning: str | None = None  # a name for `lightning.resolve`
    base: str | None = None  # a base fine-tuned from the run's, to use instead


def generate(data: Path, manifest: Manifest, request: Request) -> dict[str, Any]:
    """Writes PNGs with their settings as metadata, and returns a summary.

    The body comes from all photos, and so does the reference unless there is an image prompt. Without photos the body
    is sampled from the method's prior, if it has one; without a reference its scale is 0. With all scales 0 the
    image is the base's. Raises BolidError for a photo that is broken or shows nobody, UsageError for invalid options.
    """
    if request.out.suffix.lower() != ".png":
        raise UsageError(f"{request.out}: images are written as PNG; name it .png")
    _refuse_contradictions(request)
    name = request.run or manifest.train.method
    folder = run_folder(data, name)
    run_adapter = adapter.pinned(adapter.read(folder), manifest)
    settings, device = run_adapter.train_settings(folder / "adapter.json"), pick_device()
    spec = registry.resolve(run_adapter.method)
    size = request.width or settings.resolution, request.height or settings.resolution
    boxes = [parse_box(text, *size) for text in request.boxes]
    _refuse_unknown_conditions(request, spec, name, settings)
    adapter.refuse_untrusted_models(settings, manifest, folder / "adapter.json")

    def detect(paths: Sequence[Path]) -> list[ReferencePhoto]:
        return detect_people(paths, settings, device, manifest.filter.background)

    image_prompt = open_photo(request.image_prompt, manifest.filter.background) if request.image_prompt else None
    people = [Person(detect(photos_in(path))) for path in request.people]
    people = people or [Person(detect(request.photos), image_prompt)]
    second = Person(detect(request.blend))
    pose = _pose(request.pose, size, detect) if request.pose else None
    lightning_file = lightning.resolve(request.lightning, Path()) if request.lightning else None
    photos = sum(len(person.photos) for person in people)
    body = "photos" if photos else "drawn" if spec.generates_without_photos else "none"
    if body == "drawn":
        note("generate: no photo given: the body is sampled from the prior given the prompt")

    metadata = _metadata(request, run_adapter, name, body, spec)
    pipeline = InferencePipeline.from_run(folder, run_adapter, manifest.folder, request.base, lightning_file)
    _note_photos_without_face(pipeline, people)
    scales = {"ref": metadata["scale_ref"], "body": metadata["scale_body"]}
    scales = {**spec.default_scales, **scales, **request.scales}
    has_own_pose = "pose" in spec.conditions and not pose
    batch = pipeline.batch(request.prompt, people, request.negative_prompt, size, pose)
    blend_batch = pipeline.batch(request.prompt, [second]) if second.photos else None
    written = []
    for number in range(request.count):
        seed = request.seed + number
        posed = batch
        if has_own_pose:
            posed = with_pose_of_base(pipeline, batch, metadata["steps"], metadata["guidance"], seed, size)
        for condition, weight in scales.items():
            pipeline.method.scale(condition, weight)
        positive, negative = pipeline.conditions(posed, seed, boxes)
        if blend_batch:
            blended = pipeline.conditions(blend_batch, seed)[0]
            positive = pipeline.method.blend(positive, blended, request.blend_weight)
        image = pipeline.generate((positive, negative), metadata["steps"], metadata["guidance"], seed, size)
        out = request.out if request.count == 1 else request.out.with_stem(f"{request.out.stem}-{number}")
        _write_png(image, metadata | {"seed": seed}, out)
        written.append(str(out))
    summary = {"out": str(request.out), "pictures": written, "width": size[0], "height": size[1], "photos": photos}
    return summary | metadata


def _note_photos_without_face(pipeline: InferencePipeline, people: Sequence[Person]) -> None:
    """Says which photos a method that reads faces leaves out."""
    readers = [feature for feature in pipeline.features if isinstance(feature, FaceEmbedding)]
    for reader, person in product(readers, people):
        without = [str(photo.path) for photo in person.photos if not reader.finds_face(photo.keypoints)]
        if without:
            others = len(person.photos) - len(without)
            used = f"only {counted(others, 'other photo')} used" if others else "the image is made as without photos"
            note(f"generate: no face, with both eyes and the nose, is found on {named(without)}; {used}")


def _pose(pose: Path, size: Size, detect: Callable[[Sequence[Path]], list[ReferencePhoto]]) -> ReferencePhoto:
    """The pose on a photo, or the one of this name."""
    return detect([pose])[0] if pose.is_file() or pose.suffix else named_pose(str(pose), size)


def _refuse_contradictions(request: Request) -> None:
    if request.blend and not request.photos:
        raise UsageError("--blend interpolates from the body of --photo to another; give --photo too")
    if len(request.people) != len(request.boxes):
        counts = f"{len(request.people)} --person and {len(request.boxes)} --box"
        raise UsageError(f"{counts}; give a --box for each --person")
    if request.people and (request.photos or request.image_prompt):
        raise UsageError("--person is for several people in one image, --photo and --image-prompt for one; give either")
    for option, side in (("--width", request.width), ("--height", request.height)):
        if side is not None and (side < _SIDE_STEP or side % _SIDE_STEP):
            raise UsageError(f"{option} {side}: give a multiple of {_SIDE_STEP}")


def _refuse_unknown_conditions(request: Request, spec: MethodSpec, run: str, settings: Train) -> None:
    for name in request.scales:
        if name not in spec.scales:
            known = ", ".join(spec.scales) or "none"
            raise UsageError(f"--scale {name}: method '{spec.name}' of run '{run}' has no such scale; it has: {known}")
    if request.pose and "pose" not in spec.conditions:
        raise UsageError(f"--pose: method '{spec.name}' of run '{run}' is not conditioned on a pose")
    if request.image_prompt:
        features = spec.make_features(settings)
        # Faces are looked for on photos alone.
        reads_face = any(isinstance(feature, FaceEmbedding) for feature in features)
        if reads_face or not any(feature.role == "reference" for feature in features):
            raise UsageError(f"--image-prompt: method '{spec.name}' of run '{run}' takes no image prompt")


def _metadata(request: Request, run_adapter: adapter.Adapter, run: str, body: str, spec: MethodSpec) -> dict[str, Any]:
    """The PNG's metadata, with defaults filled in."""
    steps, guidance = (lightning.STEPS, 0.0) if request.lightning else (_STEPS, _GUIDANCE)
    has_reference = request.photos or request.image_prompt or request.people
    metadata: dict[str, Any] = {
        "prompt": request.prompt,
        "run": run,
        "base": request.base or run_adapter.base,
        "seed": request.seed,
        "steps": steps if request.steps is None else request.steps,
        "guidance": guidance if request.guidance is None else request.guidance,
        "scale_ref": _or_default(request.scale_ref, "ref", spec) if has_reference else 0.0,
        "scale_body": _or_default(request.scale_body, "body", spec),
        "body": body,
    }
    if "pose" in spec.conditions:
        metadata["pose"] = str(request.pose) if request.pose else "of the base's image"
    if request.negative_prompt:
        metadata["negative_prompt"] = request.negative_prompt
    if request.scales:
        metadata["scales"] = ", ".join(f"{name}={weight:g}" for name, weight in request.scales.items())
    if request.lightning:
        metadata["lightning"] = request.lightning
    if request.blend:
        metadata["blend_weight"] = request.blend_weight
    if request.boxes:
        metadata["boxes"] = " ".join(request.boxes)
    return metadata


def _or_default(weight: float | None, name: str, spec: MethodSpec) -> float:
    return spec.default_scales.get(name, 1.0) if weight is None else weight


def _write_png(image: Image.Image, metadata: dict[str, Any], out: Path) -> None:
    info = PngInfo()
    for key, value in metadata.items():
        info.add_itxt(key, str(value))
    with atomic_write(out) as partial:
        image.save(partial, format="PNG", pnginfo=info)
