"""A second method, unlike the first in every way, trains and generates without a change to the trainer.

It has what InstantID and PhotoMaker need: a ControlNet's residuals, from the target's keypoints and the noisy latents,
and prompt embeddings in which a token gives way to the person; and a loss of its own.
"""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bolid_data.manifest import Manifest, Train
from bolid_train.data.batch import Batch
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.inference.generate import Request, generate
from bolid_train.methods import registry
from bolid_train.methods.protocol import Condition
from bolid_train.training.trainer import train
from tests.support.drawn_shards import write_manifest


class Toy:
    def __init__(self, settings: Train, ref_dim: int) -> None:
        self.ref_dim, self.weights = ref_dim, dict.fromkeys(("text", "ref", "body"), 1.0)

    def install(self, unet: nn.Module) -> None:
        self.unet = unet
        self.token = nn.Linear(self.ref_dim, unet.config.cross_attention_dim)
        self.pose = nn.Linear(17 * 3, 1)
        self.typical = torch.zeros(self.ref_dim)

    def condition(self, batch: Batch) -> UNetInputs:
        prompt = batch.prompt_embeds
        if self.weights["ref"]:
            given = batch.image_embeds.any(dim=1, keepdim=True)
            token = self.weights["ref"] * self.token(torch.where(given, batch.image_embeds, self.typical))
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

    def drop(self, inputs: UNetInputs, condition: Condition, rows: Tensor | None = None) -> UNetInputs:
        if condition != "text":
            return inputs
        keep = torch.ones(len(inputs.encoder_hidden_states)) if rows is None else (~rows).float()
        return replace(inputs, encoder_hidden_states=inputs.encoder_hidden_states * keep[:, None, None])

    def scale(self, condition: Condition, weight: float) -> None:
        self.weights[condition] = weight

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        middle = torch.lerp(first.encoder_hidden_states, second.encoder_hidden_states, weight)
        return replace(first, encoder_hidden_states=middle)

    def prepare(self, batches: Callable[[int], Batch]) -> None:
        """It starts from anything."""

    def finish(self, batches: Callable[[int], Batch]) -> None:
        """What a row without a reference gets."""
        self.typical = torch.cat([batches(number).image_embeds for number in range(4)]).mean(dim=0)

    def losses(self, denoiser: Denoiser, batch: Batch) -> dict[str, Tensor]:
        return {"small": 0.1 * self.token.weight.square().mean()}

    def parameters(self) -> Iterable[nn.Parameter]:
        yield from [*self.token.parameters(), *self.pose.parameters()]

    def save(self, folder: Path) -> dict[str, str]:
        tensors = {f"token.{k}": v for k, v in self.token.state_dict().items()}
        tensors |= {f"pose.{k}": v for k, v in self.pose.state_dict().items()} | {"typical": self.typical}
        save_file(tensors, folder / "toy.safetensors")
        return {"toy.safetensors": "controlnet"}

    def load(self, folder: Path) -> None:
        tensors = load_file(folder / "toy.safetensors")
        for name in ("token", "pose"):
            part = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(name)}
            getattr(self, name).load_state_dict(part)
        self.typical = tensors["typical"]


def test_another_method_trains_resumes_and_generates(
    trained: tuple[Path, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.METHODS, "toy", Toy)
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
    assert load_file(runs / "toy" / "toy.safetensors")["typical"].any()  # what followed the training

    def image(scale: float) -> np.ndarray:
        out = tmp_path / f"{scale}.png"
        generate(folder, settings, Request("a person", out, scale_ref=scale, scale_body=scale, seed=1, steps=3))
        return np.asarray(Image.open(out))

    bare = Request("a person", tmp_path / "base.png", run="bolid", scale_ref=0, scale_body=0, seed=1, steps=3)
    generate(trained[0], trained[1], bare)
    assert np.array_equal(image(0.0), np.asarray(Image.open(tmp_path / "base.png")))
    assert not np.array_equal(image(1.0), image(0.0))
