"""SDXL-Lightning (Lin et al. 2024): weights that make an SDXL draw in four steps without guidance."""

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

SMALL_LIGHTNING = "small-lightning"
"""Names the weights for `small-sdxl` that come with this package."""

STEPS = 4
_ADAPTER = "lightning"


def find(name: str, near: Path) -> Path:
    """The file of Lightning weights: `small-lightning`, a .safetensors file (relative to `near`), or
    `owner/repository/file` on the hub.

    Raises UsageError for what is none of these, BolidError for a file of the hub that is not to be had.
    """
    if name == SMALL_LIGHTNING:
        return weights.find(SMALL_LIGHTNING).path
    if (near / name).is_file():
        return near / name
    parts = name.split("/", 2)
    if len(parts) < 3 or not all(parts) or parts[0] in (".", ".."):
        raise UsageError(
            f"Lightning weights '{name}': no such file (looked for {near / name}); name a .safetensors file, "
            f"owner/repository/file on the hub, or {SMALL_LIGHTNING}"
        )
    return weights.file("/".join(parts[:2]), [parts[2]], near)


def load(pipe: StableDiffusionXLPipeline, file: Path) -> None:
    """Makes the pipeline a Lightning one: LoRA weights are fused into its UNet, whole ones replace the UNet's, and
    the timesteps become trailing. To be called before a method is installed.

    Raises BolidError where the weights do not fit the UNet.
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
    """Adds LoRA weights to the UNet, frozen and switched off, after a method was installed.

    What else is trained stays so, and the UNet's output as it was, to the last bit. Raises UsageError for whole UNet
    weights, BolidError for LoRA weights that do not fit.
    """
    if not _is_lora(file):
        raise UsageError(f"{file} is a whole UNet; training needs Lightning weights that are LoRA layers")
    trained = {id(value) for value in unet.parameters() if value.requires_grad}
    active = _active(unet)
    with _fitting(file):
        state, alphas = StableDiffusionXLPipeline.lora_state_dict(
            file.parent, weight_name=file.name, use_safetensors=True, unet_config=unet.config
        )
        StableDiffusionXLPipeline.load_lora_into_unet(state, alphas, unet, adapter_name=_ADAPTER)
    # peft freezes all but its own layers, and unfreezes those.
    for value in unet.parameters():
        value.requires_grad_(id(value) in trained)
    _activate(unet, active)


@contextmanager
def enabled(unet: nn.Module) -> Iterator[None]:
    """The UNet, or a part of it, with the weights that `attach` added, beside a method's own LoRA layers."""
    active = _active(unet)
    _activate(unet, sorted({*active, _ADAPTER}))
    try:
        yield
    finally:
        _activate(unet, active)


def _layers(unet: nn.Module) -> list[Any]:
    return [module for module in unet.modules() if isinstance(module, BaseTunerLayer)]


def _active(unet: nn.Module) -> list[str]:
    """The LoRA adapters that are on."""
    names = {name for layer in _layers(unet) if not layer.disable_adapters for name in layer.active_adapters}
    return sorted(names)


def _activate(unet: nn.Module, names: Sequence[str]) -> None:
    """Switches on these LoRA adapters and no others, with every `requires_grad` as it was: peft's own switch makes
    what is on trainable and what is off frozen."""
    for layer in _layers(unet):
        trained = [(value, value.requires_grad) for value in layer.parameters()]
        layer.set_adapter(list(names))
        for value, was in trained:
            value.requires_grad_(was)


def _is_lora(file: Path) -> bool:
    try:
        with safe_open(file, framework="pt") as content:
            names = content.keys()
            return any("lora" in name for name in names)
    except (OSError, SafetensorError) as error:
        raise BolidError(f"{file} cannot be read as safetensors ({error}); name a .safetensors file") from error


@contextmanager
def _fitting(file: Path) -> Iterator[None]:
    """Turns what the libraries raise on weights of another model into one clear error, and keeps them from warning
    that there are none for the text encoders, or that a method has LoRA layers too."""
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
