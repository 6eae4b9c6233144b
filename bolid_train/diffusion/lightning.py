"""SDXL-Lightning (Lin et al. 2024): weights with which an SDXL generates in four steps without guidance."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from warnings import catch_warnings

from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.utils import logging
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from bolid_data import weights
from bolid_data.errors import BolidError, UsageError

EMBEDDED = ("small-lightning", "small-lightning-3d")
"""Names of the weights that ship with this package, for the bases that do."""

STEPS = 4
_ADAPTER = "lightning"


def resolve(name: str, relative_to: Path) -> Path:
    """The file of Lightning weights: one of `EMBEDDED`, a .safetensors file (relative to `relative_to`), or
    `owner/repository/file` on the hub.

    Raises UsageError for any other name, BolidError for a hub file that is unavailable.
    """
    if name in EMBEDDED:
        return weights.find(name).path
    return weights.single_file(
        name,
        relative_to,
        "Lightning weights",
        f"a .safetensors file, owner/repository/file on the hub, {' or '.join(EMBEDDED)}",
    )


def load(pipe: StableDiffusionXLPipeline, file: Path) -> None:
    """Turns the pipeline into a Lightning pipeline: fuses LoRA weights into its UNet, or replaces the UNet's weights by
    full ones, and sets trailing timesteps. Call it before installing a method.

    Raises BolidError if the weights do not fit the UNet.
    """
    with _fitting(file):
        if _is_lora(file):
            pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=_ADAPTER, use_safetensors=True)
            pipe.fuse_lora()
            pipe.unload_lora_weights()
        else:
            pipe.unet.load_state_dict(load_file(file))
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")


def attach(unet: UNet2DConditionModel, file: Path) -> None:
    """Adds LoRA weights to the UNet, frozen and disabled. Call it after installing a method.

    The method's parameters stay trainable, and the UNet's output does not change by a bit. Raises UsageError for full
    UNet weights, BolidError for LoRA weights that do not fit.
    """
    if not _is_lora(file):
        raise UsageError(f"{file} is a full UNet; training needs Lightning weights as LoRA layers")
    trained = {id(value) for value in unet.parameters() if value.requires_grad}
    active = _active(unet)
    with _fitting(file):
        state, alphas = StableDiffusionXLPipeline.lora_state_dict(
            file.parent, weight_name=file.name, use_safetensors=True, unet_config=unet.config
        )
        StableDiffusionXLPipeline.load_lora_into_unet(state, alphas, unet, adapter_name=_ADAPTER)
    # peft freezes all parameters but its own layers', which it unfreezes.
    for value in unet.parameters():
        value.requires_grad_(id(value) in trained)
    dtype = unet.dtype  # looked up once: each time, diffusers walks through all modules
    for layer in _layers(unet):
        for part in (layer.lora_A, layer.lora_B):
            if _ADAPTER in part:
                part[_ADAPTER].to(dtype)
    _activate(unet, active)


@contextmanager
def enabled(unet: nn.Module) -> Iterator[None]:
    """Enables the weights that `attach` added to the UNet, or to a block of it, beside a method's LoRA layers."""
    active = _active(unet)
    _activate(unet, sorted({*active, _ADAPTER}))
    try:
        yield
    finally:
        _activate(unet, active)


def _layers(unet: nn.Module) -> list[Any]:
    return [module for module in unet.modules() if isinstance(module, BaseTunerLayer)]


def _active(unet: nn.Module) -> list[str]:
    """Names of the enabled LoRA adapters."""
    names = {name for layer in _layers(unet) if not layer.disable_adapters for name in layer.active_adapters}
    return sorted(names)


def _activate(unet: nn.Module, names: Sequence[str]) -> None:
    """Enables these LoRA adapters and no others, and preserves every `requires_grad`, which peft would set to whether
    an adapter is enabled."""
    for layer in _layers(unet):
        trained = [(value, value.requires_grad) for value in layer.parameters()]
        layer.set_adapter(list(names))
        for value, requires_grad in trained:
            value.requires_grad_(requires_grad)


def _is_lora(file: Path) -> bool:
    try:
        with safe_open(file, framework="pt") as content:
            names = content.keys()
            return any("lora" in name for name in names)
    except (OSError, SafetensorError) as error:
        raise BolidError(f"{file} cannot be read as safetensors ({error}); name a .safetensors file") from error


@contextmanager
def _fitting(file: Path) -> Iterator[None]:
    """Turns the libraries' exceptions for weights of another model into one BolidError, and silences their warnings
    about missing text encoder weights and about a method's LoRA layers."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with catch_warnings(action="ignore"):
            yield
    except (RuntimeError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise BolidError(f"Lightning weights {file} do not fit this base ({first}); name those made for it") from error
    finally:
        logging.set_verbosity(level)
