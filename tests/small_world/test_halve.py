"""A halved run is a run: it is read, it paints the same, and it is half as large."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bolid_data.errors import BolidError
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.inference.pipeline import InferencePipeline, Person
from bolid_train.inference.reference_photos import ReferencePhoto
from bolid_train.methods import adapter, registry
from small_world.halve import halve
from tests.support.drawn_shards import draw_person, write_manifest
from tests.support.small_base import small_base


def _published(folder: Path, method: str, spread: float = 0.1) -> Path:
    """A run of random weights."""
    settings = write_manifest(folder, method=method, person="anna" if method == "lora" else "").train
    base = Base.resolve(settings, folder)
    torch.manual_seed(0)
    installed = registry.resolve(method).make(settings, base)
    installed.install(Denoiser.from_settings(base, settings, torch.device("cpu")).unet, base)
    with torch.no_grad():
        for parameter in installed.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    run = folder / "runs" / method
    run.mkdir(parents=True)
    losses = [{"step": step, "loss": 1 / step, "gradient": 0.123456789} for step in range(1, 251)]
    (run / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in losses))
    adapter.publish(run, installed, settings, base, 250, ["anna"], folder, photos=4)
    return run


def _paint(run: Path, *scales: float) -> list[np.ndarray]:
    """Pictures with the adapter scaled."""
    pipeline = InferencePipeline.from_run(run, adapter.read(run), small_base())
    jpeg, keypoints = draw_person(0)
    photo = ReferencePhoto(Image.open(io.BytesIO(jpeg)), tuple((x, y, c) for x, y, c in keypoints))
    conditions = pipeline.conditions(pipeline.batch("a photo of a person", [Person([photo])]), seed=1)
    pictures = []
    for scale in scales:
        pipeline.method.scale("ref", scale)
        pipeline.method.scale("body", scale)
        pictures.append(np.asarray(pipeline.generate(conditions, 2, 0.0, 1, (64, 64)), dtype=float))
    return pictures


@pytest.mark.parametrize("method", ["bolid", "ip-adapter-views", "lora"])
def test_a_halved_adapter_paints_the_same_picture(method: str, tmp_path: Path) -> None:
    run, halved = _published(tmp_path, method), tmp_path / "adapters" / method
    halve(run, halved)
    made, before = adapter.read(halved), adapter.read(run)
    assert (made.method, made.settings, made.people, made.photos) == (method, before.settings, before.people, 4)
    names = {component.file for component in made.components}
    assert {file.name for file in halved.iterdir()} == names | {"adapter.json", "losses.jsonl"}
    sizes = [sum((folder / name).stat().st_size for name in names) for folder in (run, halved)]
    assert 0.5 <= sizes[1] / sizes[0] < 0.55
    (whole, base), (half,) = _paint(run, 1.0, 0.0), _paint(halved, 1.0)
    assert np.abs(whole - half).mean() < 0.05 * np.abs(whole - base).mean()


def test_curves_are_kept_as_means_over_stretches(tmp_path: Path) -> None:
    run = _published(tmp_path, "text")
    halve(run, tmp_path / "text")
    lines = [json.loads(line) for line in (tmp_path / "text" / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [*range(3, 250, 3), 250]
    assert lines[0] == {"step": 3, "loss": pytest.approx((1 + 1 / 2 + 1 / 3) / 3, abs=1e-4), "gradient": 0.1235}


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BolidError, match="does not fit into half precision"):
        halve(_published(tmp_path, "ip-adapter", spread=1e6), tmp_path / "halved")
