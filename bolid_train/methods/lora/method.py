"""A DreamBooth-style LoRA of one person (Ruiz et al. 2023, Hu et al. 2022): the alternative to an adapter."""

from collections.abc import Iterable
from pathlib import Path

from diffusers import UNet2DConditionModel
from torch import nn

from bolid_data.errors import BolidError
from bolid_train.diffusion.base import Base
from bolid_train.files import read_safetensors, refuse_non_finite, write_safetensors
from bolid_train.methods.layers.lora import LoraLayers
from bolid_train.methods.lora.settings import Settings
from bolid_train.methods.text.method import TextOnly

_FILE = "pytorch_lora_weights.safetensors"


class Lora(TextOnly):
    """Method `lora`: low-rank layers on the UNet's attention, trained on the photos of one person. The weights hold the
    person, so generation needs no photos, and `scale` of the body scales the layers."""

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        self.layers = LoraLayers(unet, "person", Settings.of(self.settings).rank)

    def scale(self, name: str, weight: float) -> None:
        if name == "body":
            self.layers.scale(weight)

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.layers.parameters()

    def save(self, folder: Path) -> dict[str, str]:
        tensors = self.layers.tensors()
        write_safetensors({f"unet.{name}": value for name, value in tensors.items()}, folder / _FILE)
        return {_FILE: "lora"}

    def load(self, folder: Path) -> None:
        stored, file = read_safetensors(folder / _FILE), folder / _FILE
        tensors = {name.removeprefix("unet."): value for name, value in stored.items()}
        if {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in self.layers.tensors().items()}:
            raise BolidError(f"{file} does not fit this base: it was trained on a UNet of another shape or rank")
        refuse_non_finite(stored, file)
        self.layers.load(tensors)
