"""Batches of random numbers and methods on the random base: what is asked of a method's wiring needs no photos."""

import copy
import zlib
from functools import cache

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch, Views
from bolid_train.data.features.batches import without_photos
from bolid_train.data.features.feature import Feature, Role
from bolid_train.data.person_proportions import PersonProportions
from bolid_train.data.proportions import SPREAD, mean_proportions
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods import registry
from bolid_train.methods.protocol import Method
from bolid_train.settings import train_model
from tests.support.small_base import small_base

REF_DIM = 64


def drawn_batch(rows: int = 3, views: int = 2, seed: int = 0, step: int = 1000) -> Batch:
    """A batch for the small base, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    def keypoints(*shape: int) -> torch.Tensor:
        places = torch.rand(*shape, 17, 2, generator=generator)
        return torch.cat([places, torch.ones(*shape, 17, 1)], dim=-1)

    features = {}
    for name, (role, shape) in _feature_shapes().items():
        # Of a generator for each, so that a new feature changes no other.
        drawn = torch.Generator().manual_seed(zlib.crc32(name.encode()) + seed)
        features[name] = torch.randn(rows, *((views, *shape) if role == "view" else shape), generator=drawn)
    features |= drawn_tokens(rows, torch.Generator().manual_seed(seed))
    given = Views(keypoints(rows, views), torch.full((rows, views, 2), 64.0), torch.full((rows, views), 0.9))
    return Batch(
        latents=normal(rows, 4, 16, 16),
        keypoints=keypoints(rows),
        prompt_embeds=normal(rows, 7, 80),
        pooled_prompt_embeds=normal(rows, 48),
        time_ids=torch.tensor([[64.0, 64, 0, 0, 64, 64]]).expand(rows, -1),
        features=features,
        views=given,
        random=RowRandom(range(1000 * seed, 1000 * seed + rows)),
        proportions=drawn_proportions(keypoints(rows, 5)),
        step=step,
    )


def drawn_tokens(rows: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Those of prompts of seven tokens, the fourth of which is the class word."""
    ids = torch.randint(200, (rows, 1, 7), generator=generator).expand(-1, 2, -1)
    return {"token_ids": ids, "class_tokens": (torch.arange(7) == 3).expand(rows, 2, -1)}


def drawn_proportions(keypoints: torch.Tensor) -> PersonProportions:
    """Those of people, from photos' keypoints (B, P, 17, 3)."""
    person = mean_proportions(keypoints)
    typical, spread = person.nanmean(0), torch.tensor(SPREAD)
    return PersonProportions(person, typical.expand_as(person), spread.expand_as(person))


@cache
def _features() -> list[Feature]:
    """Those that any method reads."""
    settings = train_model()()
    return [feature for spec in registry.specs() for feature in spec.make_features(settings)]


@cache
def _feature_shapes() -> dict[str, tuple[Role, tuple[int, ...]]]:
    base = Base.at("random", small_base())
    return {name: (feature.role, shape) for feature in _features() for name, shape in feature.shapes(base).items()}


def photoless(batch: Batch) -> Batch:
    """The batch without photos of the people."""
    return without_photos(batch, _features())


def drawn_unet() -> UNet2DConditionModel:
    """The small base's UNet, frozen."""
    return copy.deepcopy(_unet())


@cache
def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(small_base(), subfolder="unet").requires_grad_(False)


def small_settings(name: str, **settings: object) -> Train:
    """Settings of a method for the small base; keys of its table may be given like those of `[train]`, and those of
    other methods are left out."""
    model = registry.resolve(name).settings
    own = {"person": "anna", "body_dim": 32, **settings}
    table = {key: value for key, value in own.items() if key in model.model_fields}
    others = {key: value for key, value in settings.items() if key not in table and key in Train.model_fields}
    return train_model().model_validate({"method": name, **others, **({name: table} if table else {})})


def installed(name: str, **settings: object) -> tuple[Method, UNet2DConditionModel]:
    """A method on a UNet of its own; the weights that it starts with are the same every time."""
    unet, base = drawn_unet(), Base.at("random", small_base())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = registry.resolve(name).make(small_settings(name, **settings), base)
        method.install(unet, base)
    return method, unet


def fit(method: Method, unet: UNet2DConditionModel, batch: Batch, steps: int) -> list[float]:
    """The losses of some steps on one batch."""
    denoiser = Denoiser(unet, DDPMScheduler.from_pretrained(small_base(), subfolder="scheduler"))
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        inputs, state = method.condition(batch)
        loss = denoiser.loss(batch.latents, inputs, batch.random)
        loss = loss + sum(method.losses(denoiser, batch, state).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def predict(unet: UNet2DConditionModel, batch: Batch, inputs: UNetInputs) -> torch.Tensor:
    """What the UNet says of the batch's latents."""
    denoiser = Denoiser(unet, DDPMScheduler.from_pretrained(small_base(), subfolder="scheduler"))
    return denoiser(batch.latents, torch.full((len(batch),), 500), inputs)


def bare(batch: Batch) -> UNetInputs:
    """What the base alone gets."""
    return UNetInputs(batch.prompt_embeds, {"text_embeds": batch.pooled_prompt_embeds, "time_ids": batch.time_ids})
