"""The manifest: a TOML file that describes a dataset and the training on it. Every key is checked before anything
runs."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from bolid_data.errors import ManifestError, UsageError
from bolid_data.fields import Sha256, Slug
from bolid_data.formats import USUAL_FORMATS, Format
from bolid_data.manifest_errors import Mistake, explain, mistakes_of

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]


def _byte_size(value: Any) -> Any:
    """Parses a number of bytes or text such as "300MB"; strict mode would accept only ByteSize."""
    return None if value is None else TypeAdapter(ByteSize).validate_python(value, strict=False)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Source(_Section):
    people: list[Slug] = []
    max_people: Positive = 500
    formats: list[Format] = list(USUAL_FORMATS)  # photos in other formats are recorded as broken


class WebSource(_Source):
    contact: str | None = None
    delay: Annotated[float, Field(ge=0, le=3600)] = 0.2
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8  # requests to one host at once
    timeout: Annotated[float, Field(gt=0, le=3600)] = 30  # seconds without data; a response may take ten times that
    max_bytes: ByteSize | None = None  # of photos that a run may fetch; the next run continues
    max_minutes: Annotated[float, Field(gt=0)] | None = None  # that a run may take; the next run continues

    @field_validator("max_bytes", mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        return _byte_size(value)


class ThePlaceSource(WebSource):
    """The galleries of a thePlace-style site."""

    kind: Literal["theplace"]
    profile: str = "theplace.ru"
    base_url: Annotated[str, Field(pattern=r"^https?://[^/]+/?$")] | None = None
    serve_gallery: bool = False
    min_photos: Count = 200
    max_photos: Positive = 600


class FolderSource(_Source):
    """A local folder with one folder of photos per person."""

    kind: Literal["folder"]
    path: str


class UrlsSource(WebSource):
    """A CSV or Parquet file with columns person, url."""

    kind: Literal["urls"]
    path: str
    allow_local: bool = False  # whether the list may name this machine and private networks
    encoding: str = "utf-8"  # of a CSV file without a byte order mark

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            b"x".decode(name)
        except (LookupError, ValueError):  # unknown, or a Python codec that is not a text encoding
            raise ValueError(f"'{name[:40]}' is not a text encoding; name one such as utf-8 or cp1251") from None
        return name


Source = ThePlaceSource | FolderSource | UrlsSource


class Filter(_Section):
    """Thresholds of the judge; changing one never runs a model again."""

    min_width: Count = 1000
    min_height: Count = 1000
    people: Positive = 1
    max_faces: Count = 1
    max_other_faces: Count = 0  # faces without a detected body: half hidden, or on a poster
    min_confidence: Fraction = 0.5
    min_face_confidence: Fraction = 0.7  # for faces; MTCNN's authors discard lower scores
    min_prominence: Fraction = (
        0.1  # share of the largest person's box below which a person is a bystander; 0 counts all
    )
    max_watermark: Fraction = 0.5
    min_keypoints: Annotated[int, Field(ge=0, le=17)] = 6
    min_keypoint_confidence: Fraction = 0.5
    max_hamming: Annotated[int, Field(ge=0, le=10)] = 4
    max_hamming_between: Annotated[int, Field(ge=0, le=10)] | Literal[False] = 4  # false: identical bytes only
    background: str = "white"  # of transparent pixels: a CSS colour
    min_photos_per_person: Count = 100
    # Off by default.
    min_sharpness: Annotated[float, Field(ge=0)] | None = None
    min_brightness: Fraction | None = None
    max_brightness: Fraction | None = None
    min_colourfulness: Annotated[float, Field(ge=0)] | None = None
    min_aspect: Annotated[float, Field(gt=0)] | None = None  # width / height
    max_aspect: Annotated[float, Field(gt=0)] | None = None
    min_likeness: Annotated[float, Field(ge=-1, le=1)] | None = None  # to the person's other photos; needs identity

    @field_validator("background")
    @classmethod
    def _colour(cls, name: str) -> str:
        from PIL import ImageColor  # imported late: most commands do not need it

        try:
            ImageColor.getrgb(name)
        except ValueError:
            raise ValueError(f"'{name[:40]}' is not a colour; name a CSS colour such as white or #8090a0") from None
        return name


class Models(_Section):
    """Names of models: embedded ones, local folders, or hub repositories."""

    pose: str = "yolo11n-pose"
    face: str = "mtcnn"
    watermark: str = "bolid-watermark"
    caption: str = "tiny-blip2"
    identity: str | None = None  # embeds each photo's person; off by default
    device: str = "auto"  # auto | cpu | cuda | cuda:1 …


class CaptionSettings(_Section):
    """Settings of the captioner."""

    prompt: str = ""
    max_new_tokens: Annotated[int, Field(ge=1, le=512)] = 40
    batch_size: Annotated[int, Field(ge=1, le=512)] = 8
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


class ShardSettings(_Section):
    max_size: ByteSize = ByteSize(300_000_000)
    splits: dict[str, float] | dict[str, list[str]] = {"train": 0.9, "val": 0.05, "test": 0.05}

    @field_validator("max_size", mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        return _byte_size(value)

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


class ObjectiveSettings(_Section):
    """`[train.objective]`: the weights of the loss terms besides L_diff; 0 turns a term off."""

    min_snr: Annotated[float, Field(gt=0)] | None = None  # γ of min-SNR weighting; 5 is usual
    timestep_bias: Literal["none", "later"] = "none"  # of L_diff; "later" samples t in proportion to t
    kl: NonNegative = 0.015  # of the posterior of the body embedding to N(0, I), in nats per dimension
    kl_warmup: Annotated[int, Field(ge=0)] = 0  # steps over which `kl` grows to its value
    free_bits: NonNegative = 0.05  # nats per dimension that are not penalised
    proportions: NonNegative = 0.3  # weight of predicting the person's proportions from the body embedding
    identity: NonNegative = 0.0  # α of L_id
    identity_form: Literal["absolute", "proportions", "retargeted"] = "proportions"
    clip_text: NonNegative = 0.0  # β of L_CLIP: the image against its caption
    clip_style: NonNegative = 0.0  # and the image against the reference photo
    share: Annotated[float, Field(gt=0, le=1)] = 0.25  # of a batch that gets L_id and L_CLIP, which need images
    pictures: Literal["one-step", "lightning"] = "one-step"  # how these images are made
    first_step: Annotated[int, Field(ge=0, le=3)] = 1  # of Lightning's four, the first that may yield an image
    max_timestep: Annotated[int, Field(ge=1, le=1000)] = 400  # of the one-step estimate, which blurs later
    detector: Literal["yolo11n-pose", "tiny-keypoints"] = "yolo11n-pose"  # finds keypoints on images
    clip: str = "clip-0"  # a CLIP's folder or hub name; clip-0 is the small world's
    lightning: str = "small-lightning"  # LoRA file or owner/repository/file on the hub, with 4 steps


class Train(_Section):
    """Settings of `bolid train`, explained in docs/method.md."""

    method: str = "bolid"
    person: str | None = None  # for method lora: the person to train on
    photos: list[Sha256] = []  # for method lora: that person's photos to train on, by sha256; none: all
    base: str = "small-sdxl"  # embedded; otherwise a diffusers folder or a hub name
    image_encoder: str | None = None  # a CLIP vision model's folder or hub name; by default, that of the base
    resolution: Annotated[int, Field(ge=32, le=2048, multiple_of=8)] = 64
    buckets: bool = False  # photos in SDXL's aspect ratios instead of squares
    reference: Literal["photo", "face"] = "photo"  # the part of the reference photo that the ref branch gets
    start: str | None = None  # a finished run of the same dataset whose weights are loaded first
    steps: Positive = 1000
    batch_size: Positive = 4
    views: Annotated[int, Field(ge=1, le=1000)] = 4  # photos of the person per sample, at most
    view_resolution: Annotated[int, Field(ge=32, le=2048, multiple_of=8)] = 64  # of weighted views for the VAE
    body_encoder: Literal["variational", "plain"] = "variational"
    aggregator: Literal["mean", "attention"] = "mean"  # of a person's views
    body_dim: Annotated[int, Field(ge=8, le=8192)] = 768
    rank: Annotated[int, Field(ge=1, le=4096)] = 16  # of method lora's layers
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    warmup: Annotated[int, Field(ge=0)] = 0  # steps
    schedule: Literal["constant", "cosine"] = "constant"  # of the learning rate, after the warm-up
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"  # the latter needs bitsandbytes
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0  # decay of the averaged weights that are saved; 0: no average
    mixed_precision: Literal["no", "bf16", "fp16"] | None = None  # default: bf16 on an accelerator, else no
    gradient_accumulation: Positive = 1
    gradient_checkpointing: bool = False
    drop_text: Annotated[float, Field(ge=0, le=0.3)] = 0.05
    drop_image: Annotated[float, Field(ge=0, le=0.3)] = 0.05
    drop_both: Annotated[float, Field(ge=0, le=0.3)] = 0.05
    weighting: bool = True  # of views, by the Gaussians around keypoints
    keypoints: Literal[12, 17] = 17  # 12 leaves out the face
    min_keypoint_confidence: Fraction = 0.5
    sigma: Annotated[float, Field(gt=0, le=1)] = 50 / 1024  # of the image's longer side
    alpha: Fraction = 0.1  # share of the background that remains
    encoder_steps: Annotated[int, Field(ge=0)] = 500  # of the body encoder, before the adapter is trained
    prior_steps: Annotated[int, Field(ge=0)] = 500  # of the prior of body embeddings given text, after the adapter
    objective: ObjectiveSettings = ObjectiveSettings()
    checkpoint_every: Positive = 100
    validate_every: Positive | None = None  # steps between validation images; default: only at the end
    tracker: Literal["tensorboard", "wandb"] = "tensorboard"


_MAX_BYTES = 10_000_000
# tomllib stores every prefix of a key; those of a hundred thousand parts would fill the memory.
_DEEP_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]{0,200}+"|'[^'\n]{0,200}+')[ \t]*+\.[ \t]*+){50}""")


class Manifest(_Section):
    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,80}$")]
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    source: Annotated[Source, Field(discriminator="kind")]
    filter: Filter = Filter()
    models: Models = Models()
    caption: CaptionSettings = CaptionSettings()
    shards: ShardSettings = ShardSettings()
    train: Train = Train()
    path: Annotated[Path, Field(exclude=True)]  # the file; paths in it are relative to its folder

    @property
    def folder(self) -> Path:
        return self.path.parent


def load(path: Path, overrides: dict[str, Any] | None = None) -> Manifest:
    """Reads and checks a manifest; `overrides` replace keys of `[source]` by a command's flags.

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
    mistakes: list[Mistake] = [(("path",), "no such key")] if "path" in data else []
    try:
        loaded = Manifest.model_validate(data | {"path": path})
    except ValidationError as error:
        source = data.get("source")
        mistakes += mistakes_of(error, source.get("kind") if isinstance(source, dict) else None)
    except RecursionError:
        raise UsageError(f"{path}: tables or lists are nested too deep") from None
    if mistakes:
        raise ManifestError(explain(path, text, mistakes, overrides))
    return loaded
