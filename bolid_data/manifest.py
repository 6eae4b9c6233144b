"""The manifest: a TOML file that describes a dataset and the training on it. Every key is checked before anything
runs. `bolid schema` and docs/settings.md are made from these classes (`manifest_schema.py`)."""

import datetime
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from bolid_data.caption_instructions import INSTRUCTIONS
from bolid_data.errors import ManifestError, UsageError
from bolid_data.fields import CaptionName, Instruction, Remark, Slug, TriggerWord
from bolid_data.formats import USUAL_FORMATS, Format
from bolid_data.manifest_errors import Mistake, explain, mistakes_of
from bolid_data.moved_keys import Keys, move, old_places
from bolid_data.progress import note

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]


def _byte_size(value: Any) -> Any:
    """Parses a number of bytes or text such as "300MB"; strict mode would accept only ByteSize."""
    return None if value is None else TypeAdapter(ByteSize).validate_python(value, strict=False)


Size = Annotated[
    ByteSize,
    BeforeValidator(_byte_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\s*[0-9.]+\s*\w*$"}]}
    ),
]
"""A number of bytes, or text such as "300MB"."""


class Section(BaseModel):
    """A table of the manifest."""

    # The text below a key is its description in `bolid schema` and docs/settings.md.
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class _Source(Section):
    people: list[Slug] = []
    """Slugs of the people to collect; none means everyone."""
    max_people: Positive = 500
    """People that are collected, at most."""
    formats: list[Format] = list(USUAL_FORMATS)
    """Formats of photos; files in other formats are recorded as broken."""


class WebSource(_Source):
    contact: str | None = None
    """The address that sites are told, as `mailto:…` or a URL. Required for any host that is not this machine."""
    delay: Annotated[float, Field(ge=0, le=3600)] = 0.2
    """Seconds between two requests to a host."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests to one host at once, at most."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 30
    """Seconds without data after which a request fails; a whole response may take ten times as long."""
    max_bytes: Size | None = None
    """Bytes that one run may fetch, such as "5GB"; the next run continues."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Minutes that one run may take; the next run continues."""


class ThePlaceSource(WebSource):
    """The galleries of a thePlace-style site."""

    kind: Literal["theplace"]
    """A gallery site."""
    profile: str = "theplace.ru"
    """The site: theplace.ru, theplace.ru-legacy, theplace2.ru or theplace-2.com."""
    base_url: Annotated[str, Field(pattern=r"^https?://[^/]+/?$")] | None = None
    """Where the site is served, if not at its own host; addresses are stored under the profile's host."""
    serve_gallery: bool = False
    """Serve the embedded gallery of made-up people while the command runs, and crawl that."""
    min_photos: Count = 200
    """Photos that a person needs on the site; people with fewer are skipped."""
    max_photos: Positive = 600
    """Photos of each person, at most."""


class FolderSource(_Source):
    """A local folder with one folder of photos per person."""

    kind: Literal["folder"]
    """A folder on this machine, with one folder of photos per person."""
    path: str
    """The folder, relative to the manifest."""


class UrlsSource(WebSource):
    """A CSV or Parquet file with columns person, url."""

    kind: Literal["urls"]
    """A list of URLs."""
    path: str
    """A CSV or Parquet file with the columns person and url, relative to the manifest."""
    allow_local: bool = False
    """Whether the list may name this machine and private networks."""
    encoding: str = "utf-8"
    """Encoding of a CSV file without a byte order mark."""

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            b"x".decode(name)
        except (LookupError, ValueError):  # unknown, or a Python codec that is not a text encoding
            raise ValueError(f"'{name[:40]}' is not a text encoding; name one such as utf-8 or cp1251") from None
        return name


Source = ThePlaceSource | FolderSource | UrlsSource


FOLDER_MAX_WATERMARK = 0.8
"""`max_watermark` of a folder: the model takes one clean photograph in a hundred for marked."""


class Filter(Section):
    """Thresholds of the judge; changing one never runs a model again."""

    min_width: Count = 1000
    """Pixels, of the upright photo."""
    min_height: Count = 1000
    """Pixels, of the upright photo."""
    people: Positive = 1
    """People that a photo shows, exactly."""
    max_faces: Count = 1
    """Faces that a photo shows, at most."""
    max_other_faces: Count = 0
    """Faces without a detected body, at most: people half hidden, or on a poster."""
    min_confidence: Fraction = 0.5
    """Confidence from which a detected person or face counts."""
    min_face_confidence: Fraction = 0.7
    """The same for faces, where it is higher; MTCNN's authors discard lower scores."""
    min_prominence: Fraction = 0.1
    """Share of the largest person's box below which a person is a bystander and does not count; 0 counts all."""
    min_background_prominence: Fraction = 0.4
    """The same for people in the background, who are blurred or cut by the left or right edge."""
    min_relative_sharpness: Fraction = 0.2
    """Sharpness inside a person's box, as a share of the largest person's, below which the person is blurred."""
    max_watermark: Fraction = 0.5
    """Probability of a watermark, at most, where nothing is known of the photo's host; 0.8 for a folder. 1.0 turns the
    rule off."""
    max_watermark_unmarked: Fraction = 0.7
    """The same on a host whose photos share no mark: there, a watermark is rarer."""
    max_site_mark: Fraction = 0.25
    """Correlation with a mark of the photo's host, at most. A host with a mark is judged by this alone."""
    min_keypoints: Annotated[int, Field(ge=0, le=17)] = 6
    """Keypoints that the person needs."""
    min_keypoint_confidence: Fraction = 0.5
    """Confidence from which a keypoint counts."""
    max_tilt: Annotated[float, Field(ge=0, le=180)] = 60
    """Degrees from upright of the line between the person's feet and head, at most; 180 turns the rule off."""
    turn_sideways: bool = False
    """Keep photos beyond max_tilt and turn them in the shards, by 90, 180 or 270 degrees."""
    max_hamming: Annotated[int, Field(ge=0, le=10)] = 4
    """Bits in which the perceptual hashes of duplicates differ, at most."""
    max_hamming_between: Annotated[int, Field(ge=0, le=10)] | Literal[False] = 4
    """The same for near copies under two names; false counts identical bytes only."""
    background: str = "white"
    """A CSS colour, on which transparent pixels are laid."""
    min_photos_per_person: Count = 100
    """Photos of a person that are left by the other rules, at least; otherwise all of the person's photos are out."""
    min_sharpness: Annotated[float, Field(ge=0)] | None = None
    """Sharpness, at least."""
    min_brightness: Fraction | None = None
    """Mean brightness, at least."""
    max_brightness: Fraction | None = None
    """Mean brightness, at most."""
    min_colourfulness: Annotated[float, Field(ge=0)] | None = None
    """Colourfulness, at least."""
    min_aspect: Annotated[float, Field(gt=0)] | None = None
    """Width divided by height, at least."""
    max_aspect: Annotated[float, Field(gt=0)] | None = None
    """Width divided by height, at most."""
    min_likeness: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Identity similarity to the person's other photos, at least; needs `[models] identity`. By default 0.9 for
    dlib-face, for which it was calibrated, and off for any other model."""

    @field_validator("background")
    @classmethod
    def _colour(cls, name: str) -> str:
        from PIL import ImageColor  # imported late: most commands do not need it

        try:
            ImageColor.getrgb(name)
        except ValueError:
            raise ValueError(f"'{name[:40]}' is not a colour; name a CSS colour such as white or #8090a0") from None
        return name


CALIBRATED_LIKENESS = {"dlib-face": 0.9}
"""Default of `min_likeness` by identity model (docs/curation.md has the figures)."""


class Models(Section):
    """Names of models: embedded ones, local folders, or hub repositories, also as `owner/model@revision`."""

    pose: str = "yolo11n-pose"
    """Finds people and their keypoints."""
    face: str = "mtcnn"
    """Finds faces: mtcnn, or a YOLO detector's folder or hub name."""
    watermark: str = "bolid-watermark"
    """Finds watermarks: bolid-watermark, or a detector's folder or hub name."""
    caption: str = "tiny-blip2"
    """Captions photos: tiny-blip2 (made-up people only), describe, `lavis:<model>/<type>`, a folder, or a hub name."""
    identity: str | None = None
    """What embeds each photo's person, for min_likeness; off by default, as embeddings of faces are biometric data:
    dlib-face, or an image encoder by folder or hub name."""
    device: str = "auto"
    """Where models run: auto, cpu, cuda, cuda:1 and so on."""


class CaptionSettings(Section):
    """Settings of the captioner, and which captions are used."""

    prompt: str = ""
    """The beginning of each caption, or the question to the model; "" uses the model's default."""
    max_new_tokens: Annotated[int, Field(ge=1, le=512)] = 40
    """Length of a caption, at most."""
    batch_size: Annotated[int, Field(ge=1, le=512)] = 8
    """Photos captioned together."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the model."""
    also: Annotated[dict[str, Instruction], Field(max_length=10)] = {}
    """Further captions by name, each with the instruction by which a chat model writes it; `build = "neutral"` has
    one that comes with BoLID."""
    use: CaptionName = ""
    """Which captions by hand or in sidecar files to use: "tags" for photo.tags.txt, "" for photo.txt."""
    trigger: TriggerWord = ""
    """A word in front of every caption in shards and exports."""

    @field_validator("also")
    @classmethod
    def _instructions(cls, also: dict[str, str]) -> dict[str, str]:
        for name, text in also.items():
            if not re.fullmatch("[a-z0-9_]{1,40}", name):
                raise ValueError(f"{name[:40]!r} is no name of captions; use [a-z0-9_], at most 40")
            if not text.strip() or (len(text.split()) == 1 and (name, text) not in INSTRUCTIONS):
                known = " or ".join(f'{one} = "{word}"' for one, word in INSTRUCTIONS)
                raise ValueError(f"{name}: {text[:40]!r} is no instruction; write a sentence, or {known}")
        return also

    def instruction(self, name: str) -> str:
        """The instruction for the captions of that name in `also`."""
        return INSTRUCTIONS.get((name, self.also[name]), self.also[name])


class ShardSettings(Section):
    """Settings of the tars."""

    max_size: Size = ByteSize(300_000_000)
    """Size of a tar, at most. A larger person fills several."""
    splits: dict[str, float] | dict[str, list[str]] = {"train": 0.9, "val": 0.05, "test": 0.05}
    """Shares of the people, or lists of slugs, by split. With one person, `{ train = 1.0 }`."""

    @field_validator("splits")
    @classmethod
    def _splits(cls, splits: dict[str, Any]) -> dict[str, Any]:
        if not splits or not all(re.fullmatch(r"[a-z0-9_]{1,40}", name) for name in splits):
            raise ValueError("needs at least one split, with a name of [a-z0-9_]")
        shares = [share for share in splits.values() if not isinstance(share, list)]
        if shares and (min(shares) < 0 or abs(sum(shares) - 1) > 1e-6):
            raise ValueError(f"shares must be 0 or more and add up to 1, not {sum(shares):g}")
        people = [person for part in splits.values() if isinstance(part, list) for person in part]
        if len(people) != len(set(people)):
            raise ValueError("a person is in two splits")
        return splits


def _date(value: Any) -> Any:
    """Parses a TOML date, or the text of one, which a lock has. A time is refused: a basis runs out with a day."""
    if isinstance(value, str):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value[:40]!r} is not a date such as 2030-12-31") from None
    if isinstance(value, datetime.datetime):
        raise ValueError("give a date such as 2030-12-31, without a time")
    return value


Date = Annotated[datetime.date, BeforeValidator(_date)]


class Basis(Section):
    """On what basis a person's photos may be used, where it differs from that of everybody."""

    basis: Remark | None = None
    """Why the photos may be used, such as consent, contract, licence, legitimate_interest, own_photos or synthetic, or
    in your own words; "" for a person without one."""
    by: Remark | None = None
    """Who recorded that; published with it, so a role is enough."""
    until: Date | None = None
    """The last day on which it holds."""

    def problem(self, today: datetime.date) -> str | None:
        """Why a person's photos may not be handed on; None if they may."""
        if not self.basis:
            return "no basis is recorded"
        return f"the basis ran out on {self.until}" if self.until and self.until < today else None

    def recorded(self) -> dict[str, str]:
        """What is recorded, as a lock has it; empty without a basis."""
        return self.model_dump(mode="json", include={"basis", "by", "until"}, exclude_none=True) if self.basis else {}


class Consent(Basis):
    """On what basis the photos of people may be used. It is recorded in the lock for every person, and `bolid publish`
    refuses people without one."""

    people: dict[Slug, Basis] = {}
    """The same for single people, by slug; keys that are not given are those of everybody."""

    def of(self, person: str) -> Basis:
        """What holds for a person."""
        everybody = {key: value for key, value in self if key != "people"}
        given = self.people.get(person, Basis()).model_dump(exclude_unset=True)
        return Basis.model_validate(everybody | given)


class ObjectiveSettings(Section):
    """The loss and its terms besides those of a method (docs/method.md). A weight of 0 turns a term off."""

    min_snr: Annotated[float, Field(gt=0)] | None = None
    """γ of min-SNR weighting of L_diff; 5 is usual. By default no weighting."""
    timestep_bias: Literal["none", "later"] = "none"
    """Timesteps of L_diff: uniform, or sampled in proportion to t."""
    identity: NonNegative = 0.0
    """Weight α of L_id, on keypoints of generated images."""
    identity_form: Literal["absolute", "proportions", "retargeted"] = "proportions"
    """What L_id compares the keypoints with."""
    clip_text: NonNegative = 0.0
    """Weight of L_CLIP between an image and its caption."""
    clip_style: NonNegative = 0.0
    """Weight of L_CLIP between an image and the reference photo."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of a batch that gets L_id and L_CLIP, which need images."""
    pictures: Literal["one-step", "lightning"] = "one-step"
    """How these images are made: estimated in one step, or generated by Lightning."""
    first_step: Annotated[int, Field(ge=0, le=3)] = 1
    """Of Lightning's four steps, the first that may yield an image."""
    min_timestep: Annotated[int, Field(ge=1, le=1000)] = 400
    """Of the one-step estimate; earlier, it shows the photo behind the noise, whatever the adapter adds."""
    max_timestep: Annotated[int, Field(ge=1, le=1000)] = 850
    """Of the one-step estimate, which is blurred later. Both are for latents of 16×16, and are shifted for larger."""
    detector: Literal["yolo11n-pose", "tiny-keypoints", "tiny-keypoints-3d"] = "yolo11n-pose"
    """Finds keypoints on images; the tiny ones are for the small worlds."""
    clip: str = "clip-0"
    """A CLIP by folder or hub name; clip-0 is the small world's."""
    lightning: str = "small-lightning"
    """Lightning's weights for four steps: a file, or `owner/repository/file` on the hub."""

    @property
    def needs_images(self) -> bool:
        """Whether a term compares images."""
        return bool(self.identity or self.clip_text or self.clip_style)


class Train(Section):
    """Settings of `bolid train` for every method (docs/training.md); those of one method are in a table of its own."""

    # The tables of methods are not known here: they are kept unread until `bolid_train.settings` checks them.
    model_config = ConfigDict(extra="allow")

    moved: ClassVar[Mapping[Keys, Keys]] = {}
    """Keys below `[train]` that are now in a method's table; manifests may still have them where they were."""

    method: str = "bolid"
    """How people are preserved; docs/method.md lists the methods."""
    base: str = "small-sdxl"
    """The frozen SDXL: small-sdxl or small-sdxl-3d, which draw synthetic people only, a diffusers folder or a hub
    name."""
    image_encoder: str | None = None
    """A CLIP vision model by folder or hub name; by default, that of the base."""
    resolution: Annotated[int, Field(ge=32, le=2048, multiple_of=8)] = 64
    """Side of the images in pixels."""
    buckets: bool = False
    """Train on photos in SDXL's aspect ratios instead of squares."""
    reference: Literal["photo", "face"] = "photo"
    """The part of the reference photo that the ref branch gets."""
    reference_fit: Literal["pad", "crop"] | None = None
    """How a reference becomes a square: padded, or its centre. By default padded, or as a published IP-Adapter did."""
    view_fit: Literal["pad", "squash"] = "pad"
    """How a view becomes a square: padded, or squashed."""
    start: str | None = None
    """A finished run of the same dataset whose weights are loaded first."""
    steps: Positive = 1000
    """Optimizer steps."""
    batch_size: Positive = 4
    """Photos that are processed at once."""
    views: Annotated[int, Field(ge=1, le=1000)] = 4
    """Photos of the person per sample, at most."""
    captions: Literal["chosen", "all"] = "chosen"
    """Train on the caption that `[caption]` chooses, or on one of all that a photo has, at random in every step."""
    view_resolution: Annotated[int, Field(ge=32, le=2048, multiple_of=8)] = 64
    """Side in pixels of the weighted views that the VAE encodes."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """The optimizer's, after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The optimizer's."""
    warmup: Count = 0
    """Steps over which the learning rate grows to its value."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate, after the warm-up."""
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    """adamw8bit needs bitsandbytes."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Norm to which gradients are clipped."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights, which is what is saved; 0 saves the weights themselves."""
    mixed_precision: Literal["no", "bf16", "fp16"] | None = None
    """By default bf16 on an accelerator, and no elsewhere."""
    deterministic: bool = False
    """Use only algorithms that give the same bits every time; on an accelerator they are slower."""
    gradient_accumulation: Positive = 1
    """Micro-batches that make a step."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: slower, with less memory."""
    drop_text: Annotated[float, Field(ge=0, le=0.3)] = 0.05
    """Probability that a row is trained without its text."""
    drop_image: Annotated[float, Field(ge=0, le=0.3)] = 0.05
    """Probability that a row is trained without its reference, and independently without its body."""
    drop_both: Annotated[float, Field(ge=0, le=0.3)] = 0.05
    """Probability that a row is trained without anything."""
    weighting: bool = True
    """Weight views by the Gaussians around keypoints."""
    keypoints: Literal[12, 17] = 17
    """Keypoints in use; 12 leaves out the face."""
    min_keypoint_confidence: Fraction = 0.5
    """Keypoints with less confidence are not visible."""
    sigma: Annotated[float, Field(gt=0, le=1)] = 50 / 1024
    """σ of the Gaussians, as a share of the photo's longer side."""
    alpha: Fraction = 0.1
    """Share of the background that remains."""
    objective: ObjectiveSettings = ObjectiveSettings()
    checkpoint_every: Positive = 100
    """Steps between checkpoints."""
    validate_every: Positive | None = None
    """Steps between validation images; by default only at the end."""
    prompts: list[str] = []
    """Prompts for the validation images, besides captions of other people's photos."""
    tracker: Literal["tensorboard", "wandb"] = "tensorboard"
    """wandb needs the package of that name and its login."""

    @model_validator(mode="before")
    @classmethod
    def _move(cls, data: Any) -> Any:
        return move(data, cls.moved) if isinstance(data, dict) else data


_MAX_BYTES = 10_000_000
# tomllib stores every prefix of a key; those of a hundred thousand parts would fill the memory.
_DEEP_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]{0,200}+"|'[^'\n]{0,200}+')[ \t]*+\.[ \t]*+){50}""")


class Manifest(Section):
    """Describes a dataset and the training on it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,80}$")]
    """Name of the dataset; its folder is `data/<name>`."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Chooses the splits, the embedded gallery's people, and every random number of the training."""
    source: Annotated[Source, Field(discriminator="kind")]
    filter: Filter = Filter()
    models: Models = Models()
    caption: CaptionSettings = CaptionSettings()
    shards: ShardSettings = ShardSettings()
    consent: Consent = Consent()
    train: Train = Train()
    path: SkipJsonSchema[Annotated[Path, Field(exclude=True)]]  # the file; paths in it are relative to its folder

    @model_validator(mode="before")
    @classmethod
    def _default_of_a_folder(cls, data: Any) -> Any:
        """A folder has no host whose mark could be looked for, and of photographs the model is less certain."""
        source, filters = (data.get(key, {}) for key in ("source", "filter")) if isinstance(data, dict) else ({}, {})
        if isinstance(source, dict) and isinstance(filters, dict) and source.get("kind") == "folder":
            return data | {"filter": {"max_watermark": FOLDER_MAX_WATERMARK} | filters}
        return data

    @model_validator(mode="after")
    def _calibrate(self) -> Self:
        likeness = CALIBRATED_LIKENESS.get(self.models.identity or "")
        if likeness is None or self.filter.min_likeness is not None:
            return self
        # Set as read, so that every command judges by it, and the lock pins it.
        object.__setattr__(self, "filter", self.filter.model_copy(update={"min_likeness": likeness}))
        return self

    @property
    def folder(self) -> Path:
        return self.path.parent


@cache
def manifest_model(train: type[Train]) -> type[Manifest]:
    """The model of a manifest whose `[train]` is `train`."""
    return create_model("Manifest", __base__=Manifest, __doc__=Manifest.__doc__, train=(train, train()))


def load(path: Path, overrides: dict[str, Any] | None = None, train: type[Train] = Train) -> Manifest:
    """Reads and checks a manifest; `overrides` replace keys of `[source]` by a command's flags. `train`: the model of
    `[train]`; `bolid_train.settings.train_model()` has the tables of all methods.

    Raises ManifestError naming the file, line and key of every mistake, and UsageError for a file that is not TOML.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: larger than {_MAX_BYTES} bytes; a manifest is a short file")
        text = path.read_text(encoding="utf-8-sig")
        if deep := _DEEP_KEY.search(text):
            line = text.count("\n", 0, deep.start()) + 1
            raise UsageError(f"{path}:{line}: a key of more than 50 parts; a manifest has none")
        data = tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such manifest") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as text ({error})") from error
    except (ValueError, RecursionError) as error:  # also for a number with too many digits, and tables nested too deep
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    overrides = overrides or {}
    if isinstance(data.get("source"), dict):
        data["source"] |= overrides
    moved = list(old_places(data.get("train"), train.moved))
    mistakes: list[Mistake] = [(("path",), "no such key")] if "path" in data else []
    try:
        loaded = manifest_model(train).model_validate(data | {"path": path})
    except ValidationError as error:
        source = data.get("source")
        as_written = {("train", *new): ("train", *old) for old, new in moved}
        kind = source.get("kind") if isinstance(source, dict) else None
        for keys, message in mistakes_of(error, kind, manifest_model(train).model_json_schema()):
            mistakes.append((as_written.get(keys, keys), message))
    except RecursionError:
        raise UsageError(f"{path}: tables or lists are nested too deep") from None
    if mistakes:
        raise ManifestError(explain(path, text, mistakes, overrides))
    if moved:
        places = ", ".join(f"{'.'.join(old)} (now {'.'.join(new)})" for old, new in moved)
        note(f"{path}: keys of [train] that belong to one method have moved; the old ones still work: {places}")
    return loaded
