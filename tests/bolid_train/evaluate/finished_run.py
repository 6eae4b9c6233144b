"""Finished runs with random weights, for tests of what is compared."""

from pathlib import Path
from typing import Any

import torch

from bolid_data.manifest import Manifest
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.methods import adapter, registry
from tests.support.drawn_shards import write_manifest


def write_run(folder: Path, name: str, method: str, seed: int, person: str = "erik", **train: Any) -> Manifest:
    """Writes a finished run on a photo or two of `person` into the dataset's folder. Returns its manifest."""
    settings = write_manifest(folder, method=method, **train)
    base = Base.resolve(settings.train, folder)
    torch.manual_seed(seed)
    installed = registry.resolve(method).make(settings.train, base)
    installed.install(Denoiser.from_settings(base, settings.train, torch.device("cpu")).unet, base)
    with torch.no_grad():
        for parameter in installed.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    run = folder / "runs" / name
    run.mkdir(parents=True)
    adapter.publish(run, installed, settings.train, base, 0, [person], folder, photos=2)
    return settings
