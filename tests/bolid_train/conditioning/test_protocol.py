"""A second method, unlike the first in every way, trains and generates without a change to the trainer.

It has what InstantID and PhotoMaker need: a ControlNet's residuals, from the target's keypoints and the noisy latents,
and prompt embeddings in which a token gives way to the person; and a loss of its own.
"""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bolid_data.manifest import Manifest, Train
from bolid_train import conditioning
from bolid_train.batches import Batch
from bolid_train.conditioning.protocol import Source, UNetInputs
from bolid_train.denoiser import Denoiser
from bolid_train.generate import generate
from bolid_train.trainer import train
from tests.bolid_train.conftest import write_manifest


class Toy:
    def __init__(self, settings: Train, ref_dim: int) -> None:
        self.ref_dim, self.weights = ref_dim, dict.fromkeys(("text", "ref", "body"), 1.0)

    def install(self, unet: nn.Module) -> None:
        self.unet = unet
        self.token = nn.Linear(self.ref_dim, unet.config.cross_attention_dim)
        self.pose = nn.Linear(17 * 3, 1)

    def condition(self, batch: Batch) -> UNetInputs:
        prompt = batch.prompt_embeds
        if self.weights["ref"]:
            token = self.weights["ref"] * self.token(batch.image_embeds)
            prompt = torch.cat([prompt[:, :1], token[:, None], prompt[:, 2:]], dim=1)
        added = {"text_embeds": batch.pooled_prompt_embeds, "time_ids": batch.time_ids}

        def residuals(noisy: Tensor, timesteps: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
            shift = (
                self.pose(batch.keypoints.flatten(1))[..., None, None] * noisy.std() * (timesteps.view(-1, 1, 1, 1) > 0)
            )
            return tuple(shift.expand(shape) for shape in self._shapes(noisy)), shift.expand(self._middle(noisy))

        return UNetInputs(prompt, added, residuals if self.weights["body"] else None)

    def _shapes(self, noisy: Tensor) -> list[tuple[int, ...]]:
        rows, side = len(noisy), noisy.shape[-1]
        first, second, third = self.unet.config.block_out_channels
        sizes = [(first, side), (first, side), (first, side // 2), (second, side // 2)]
        sizes += [(second, side // 4), (third, side // 4)]
        return [(rows, channels, height, height) for channels, height in sizes]

    def _middle(self, noisy: Tensor) -> tuple[int, ...]:
        return self._shapes(noisy)[-1]

    def drop(self, inputs: UNetInputs, source: Source, rows: Tensor | None = None) -> UNetInputs:
        if source != "text":
            return inputs
        keep = torch.ones(len(inputs.encoder_hidden_states)) if rows is None else (~rows).float()
        return replace(inputs, encoder_hidden_states=inputs.encoder_hidden_states * keep[:, None, None])

    def scale(self, source: Source, weight: float) -> None:
        self.weights[source] = weight

    def losses(self, denoiser: Denoiser, batch: Batch) -> dict[str, Tensor]:
        return {"small": 0.1 * self.token.weight.square().mean()}

    def parameters(self) -> Iterable[nn.Parameter]:
        yield from [*self.token.parameters(), *self.pose.parameters()]

    def save(self, folder: Path) -> dict[str, str]:
        tensors = {f"token.{k}": v for k, v in self.token.state_dict().items()}
        save_file(tensors | {f"pose.{k}": v for k, v in self.pose.state_dict().items()}, folder / "toy.safetensors")
        return {"toy.safetensors": "controlnet"}

    def load(self, folder: Path) -> None:
        tensors = load_file(folder / "toy.safetensors")
        for name in ("token", "pose"):
            part = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(name)}
            getattr(self, name).load_state_dict(part)


def test_another_method_trains_resumes_and_generates(
    trained: tuple[Path, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(conditioning.METHODS, "toy", Toy)
    folder = Path(shutil.copytree(trained[0], tmp_path / "copy"))
    settings = write_manifest(folder, method="toy")
    train(settings, folder, steps=8, run="whole")
    train(settings, folder, steps=4)
    summary = train(settings, folder, steps=8, resume=True)
    runs = folder / "runs"
    assert (summary["method"], summary["resumed_from"]) == ("toy", 4)
    lines = (runs / "toy" / "losses.jsonl").read_text()
    assert lines == (runs / "whole" / "losses.jsonl").read_text()
    assert '"small":' in lines

    def image(scale: float) -> np.ndarray:
        out = tmp_path / f"{scale}.png"
        generate(folder, None, "a person", [], None, scale, scale, 1, out, 3, 4.0, settings)
        return np.asarray(Image.open(out))

    generate(trained[0], "bolid", "a person", [], None, 0, 0, 1, tmp_path / "base.png", 3, 4.0, trained[1])
    assert np.array_equal(image(0.0), np.asarray(Image.open(tmp_path / "base.png")))
    assert not np.array_equal(image(1.0), image(0.0))
