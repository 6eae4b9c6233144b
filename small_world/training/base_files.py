"""The weights of `small-sdxl-3d` in a few files of at most 15 MB, as `base_on_gpu` writes them, and back:

python -m small_world.training.base_files FOLDER --out PIPELINE     # writes an ordinary diffusers folder
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_train.files import read_safetensors, refuse_non_finite, write_safetensors
from small_world.sdxl import build_vae
from small_world.tokenizer import build_tokenizer
from small_world.training.base import TextToImage, save
from small_world.worlds import WORLD_3D

_MAX_BYTES = 14_000_000  # of tensors in a file
_VAE = "vae.safetensors"
_SCALING = "scaling_factor"  # of latents; stands among the VAE's weights


def write_vae(vae: AutoencoderKL, folder: Path) -> None:
    """Writes the VAE in half precision. Raises BolidError if it has infinite or NaN values, and writes nothing."""
    path = folder / _VAE
    tensors = _halved(vae.state_dict(), path)
    write_safetensors(tensors | {_SCALING: torch.tensor(vae.config.scaling_factor)}, path)


def write_base(model: TextToImage, folder: Path) -> None:
    """Writes UNet and text encoders in half precision, in place of those that are there. Raises BolidError if they have
    infinite or NaN values, and writes nothing."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in _halved(model.state_dict(), folder).items():
        size += tensor.nbytes
        if size > _MAX_BYTES:
            shards.append({})
            size = tensor.nbytes
        shards[-1][name] = tensor
    for number, shard in enumerate(shards, 1):
        write_safetensors(shard, folder / f"base-{number}-of-{len(shards)}.safetensors")


def read(folder: Path) -> tuple[TextToImage, AutoencoderKL]:
    """The model and the VAE in the folder, in full precision. Raises BolidError if a file is missing or damaged."""
    vae = build_vae(WORLD_3D.size)
    weights = read_safetensors(folder / _VAE)
    vae.register_to_config(scaling_factor=round(float(weights.pop(_SCALING)), 5))
    _load(vae, weights, folder / _VAE)
    model = TextToImage(build_tokenizer(WORLD_3D.vocabulary), WORLD_3D.size)
    shards = [read_safetensors(path) for path in sorted(folder.glob("base-*-of-*.safetensors"))]
    _load(model, {name: tensor for shard in shards for name, tensor in shard.items()}, folder)
    return model, vae


def _halved(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    tensors = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    refuse_non_finite(tensors, path)
    return tensors


def _load(module: torch.nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise BolidError(f"{path}: not all the weights of a {type(module).__name__}: {error}") from error


def main(command_line: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with the files")
    parser.add_argument("--out", type=Path, required=True, help="the pipeline's folder")
    arguments = parser.parse_args(command_line)
    try:
        model, vae = read(arguments.folder)
    except BolidError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    save(model, vae, arguments.out, WORLD_3D)


if __name__ == "__main__":
    main()
