"""Trains the watermark network: `python -m small_world.training.watermark --work FOLDER`.

Ink that is known to the pixel teaches every patch of the network's map, not only the photo as a whole, so half an
hour on two cores is enough. A run that was stopped goes on from its last checkpoint. `--evaluate PHOTOS` prints the
model card's figures for the committed weights, on people, photos and fonts that training never sees.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bolid_data import weights
from bolid_data.atomic_io import atomic_write
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.curate.measurers.watermark import to_tensor
from bolid_data.curate.measurers.watermark_network import STRIDE, WatermarkNetwork, load
from bolid_data.gallery.overlay import KINDS, OPACITY, overlay
from bolid_data.images import read_upright
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import take_photo
from small_world.training.watermark_ink import HELD_OUT_INK, Fonts, Ink, apply, fonts, ink
from small_world.training.watermark_samples import (
    CALIBRATION,
    CROP,
    HELD_OUT,
    TRAINING,
    Samples,
    installed_photos,
    photos,
    printed,
)

WEIGHTS = weights.embedded_path("bolid-watermark")
TRAINING_SEED, CALIBRATION_SEED, HELD_OUT_SEED = 1000, 2000, 7777
"""Seeds of the drawn people: those trained on, those calibrated on, those evaluated on."""

CHECKPOINT_EVERY = 25
CLEAN_KEPT = 0.987
"""The share of clean real photos of the calibration that is kept at probability 0.5."""


def drawn_photos(seed: int, people: int, photos: int) -> list[Image.Image]:
    """`photos` photos each of `people` people, 1024×1400."""
    return [
        Image.fromarray(take_photo([draw_person(seed, index)], (seed, index, number), (1024, 1400)).image)
        for index in range(people)
        for number in range(photos)
    ]


def train(
    work: Path, material: Path, start: Path | None, steps: int, batch: int, rate: float, workers: int, seed: int
) -> WatermarkNetwork:
    """Trains from `work/checkpoint.pt` on, else from the weights `start`, else from nothing, to `steps` steps."""
    torch.manual_seed(seed)
    network = load(start).train() if start else WatermarkNetwork()
    network.offset.zero_()
    network.slope.fill_(1)
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    parts: dict[str, WatermarkNetwork | torch.optim.Optimizer] = {"network": network, "optimizer": optimizer}
    checkpoint, step, minutes = work / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        step, minutes = state["step"], state["minutes"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    backgrounds = [*installed_photos(), *photos(material, TRAINING), *drawn_photos(TRAINING_SEED, 36, 4)]
    print(f"{len(backgrounds)} backgrounds", flush=True)
    samples = Samples(backgrounds, seed, step * batch, steps * batch, fonts(material))
    began, losses = time.monotonic(), []
    network.train()
    for images, labels in DataLoader(samples, batch, num_workers=workers):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50) * (0.505 + 0.495 * math.cos(math.pi * step / steps))
        # Drawing a batch costs as much as learning from it, so it is learnt from twice, once turned: lines of text
        # run upwards as often as across.
        for crops, patches in ((images, labels), (images.rot90(1, (2, 3)), labels.rot90(1, (1, 2)))):
            # Photos seldom end where a patch ends.
            height, width = CROP - torch.randint(STRIDE, (2,))
            crops = crops[:, :, :height, :width]
            loss = _loss(network, crops.to(memory_format=torch.channels_last), patches)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        step += 1
        if step % CHECKPOINT_EVERY == 0 or step == steps:
            spent = minutes + (time.monotonic() - began) / 60
            print(
                f"step {step}/{steps}  loss {np.mean(losses[-2 * CHECKPOINT_EVERY :]):.4f}  {spent:.1f} minutes",
                flush=True,
            )
            state = {name: part.state_dict() for name, part in parts.items()}
            with atomic_write(checkpoint) as part_file:
                torch.save(state | {"step": step, "minutes": spent}, part_file)
    return network.to(memory_format=torch.contiguous_format).eval()


def _loss(network: WatermarkNetwork, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every clear patch, plus that of the crop as a whole where it is clear."""
    with torch.autocast("cpu", torch.bfloat16):
        patches, logits = network(images)
    clear = labels >= 0
    dense = nn.functional.binary_cross_entropy_with_logits(patches[clear], labels[clear])
    count = (labels > 0).flatten(1).sum(1)
    sure = (count >= 4) | (labels == 0).flatten(1).all(1)
    whole = nn.functional.binary_cross_entropy_with_logits(logits[sure], (count[sure] > 0).float())
    return dense + whole


def gallery_marks(photos: list[Image.Image], rng: np.random.Generator) -> Iterator[Image.Image]:
    """Every photo with a mark of the gallery, each kind and strength in turn."""
    for index, image in enumerate(photos):
        yield overlay(image, KINDS[index % len(KINDS)], list(OPACITY)[index // len(KINDS) % len(OPACITY)], rng)


def other_marks(
    photos: list[Image.Image], rng: np.random.Generator, fonts: Fonts, inks: Sequence[Ink] = (ink,)
) -> Iterator[Image.Image]:
    """Every photo with ink in these fonts, each kind in turn."""
    for index, image in enumerate(photos):
        yield apply(image, inks[index % len(inks)](image.size, rng, fonts), rng)


@torch.inference_mode()
def logits(network: WatermarkNetwork, photos: Iterator[Image.Image] | list[Image.Image]) -> np.ndarray:
    """The photos' logits, each seen as the measurer sees it."""
    return np.array([float(network(to_tensor(Photo("", photo)))[1]) for photo in photos])


def calibrate(network: WatermarkNetwork, material: Path) -> None:
    """Sets the offset so that CLEAN_KEPT of clean real photos are kept, the slope by logistic regression; on people and
    photos that are not trained on."""
    rng = np.random.default_rng(CALIBRATION_SEED)
    real = [crop for photo in photos(material, CALIBRATION) for crop in _crops(photo, rng)]
    drawn, known = drawn_photos(CALIBRATION_SEED, people=8, photos=6), fonts(material)
    clean = logits(network, real)
    offset = np.quantile(clean, CLEAN_KEPT)
    unmarked = [clean, logits(network, drawn)]
    marked = [logits(network, gallery_marks([*real, *drawn], rng)), logits(network, other_marks(real, rng, known))]
    values = torch.tensor(np.concatenate([*unmarked, *marked]) - offset)
    labels = torch.cat(
        [torch.full((sum(map(len, part)),), float(index)) for index, part in enumerate((unmarked, marked))]
    )
    slope = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(values * slope, labels.double())
        loss.backward()
        return loss

    optimizer.step(closure)
    network.offset.fill_(float(offset))
    network.slope.copy_(slope.detach())


def evaluate(network: WatermarkNetwork, folder: Path, material: Path) -> Iterator[str]:
    """Lines of the card's tables, at probability 0.5: marks on photos, then print that belongs to the scene."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    known, unknown = fonts(material), fonts(material, held_out=True)
    sets = {
        "drawn people": drawn_photos(HELD_OUT_SEED, people=12, photos=8),
        "packages' photos": [crop for photo in photos(material, HELD_OUT) for crop in _crops(photo, rng, 1)],
        "shared photos": [crop for path in sorted(folder.rglob("*.jpg")) for crop in _crops(read_upright(path), rng)],
    }
    clean = {title: logits(network, images) for title, images in sets.items()}
    yield "| photos | marks | n | ROC-AUC | recall at 1 % false | found | clean kept |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for title, images in sets.items():
        for marks, marked in (
            ("the gallery's", gallery_marks(images, rng)),
            ("other, fonts of training", other_marks(images, rng, known)),
            ("other, fonts never seen", other_marks(images, rng, unknown)),
            ("kinds never seen", other_marks(images, rng, known, list(HELD_OUT_INK.values()))),
        ):
            yield _row(title, marks, clean[title], logits(network, marked))
    yield ""
    yield "| photos with print in the scene | n | taken for marked |"
    yield "| --- | --- | --- |"
    for title, images in sets.items():
        found = logits(network, (printed(image, rng, unknown) for image in images)) > 0
        yield f"| {title} | {len(found)} | {found.mean():.3f} |"


def _crops(photo: Image.Image, rng: np.random.Generator, count: int = 5) -> Iterator[Image.Image]:
    """The photo, and parts of it that a mark is as likely to lie on."""
    yield photo
    for share in rng.uniform(0.6, 0.95, count):
        size = (round(photo.width * share), round(photo.height * share))
        left, top = (int(rng.integers(0, full - part + 1)) for full, part in zip(photo.size, size, strict=True))
        yield photo.crop((left, top, left + size[0], top + size[1]))


def _row(title: str, marks: str, clean: np.ndarray, marked: np.ndarray) -> str:
    above = (marked[:, None] > clean).mean() + 0.5 * (marked[:, None] == clean).mean()
    recall = (marked > np.quantile(clean, 0.99, method="higher")).mean()
    shares = f"{above:.4f} | {recall:.3f} | {(marked > 0).mean():.3f} | {(clean <= 0).mean():.3f}"
    return f"| {title} | {marks} | {len(clean)} | {shares} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluate", type=Path, metavar="PHOTOS", help="evaluate; a folder with clean real photos")
    parser.add_argument("--work", type=Path, help="train; the folder of the checkpoint")
    parser.add_argument("--material", type=Path, help="the folder with the unpacked packages of photos and fonts")
    parser.add_argument("--start", type=Path, help="train on from these weights")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.work:
        arguments.work.mkdir(parents=True, exist_ok=True)
        schedule = arguments.steps, arguments.batch, arguments.rate
        network = train(
            arguments.work, arguments.material, arguments.start, *schedule, arguments.workers, arguments.seed
        )
        calibrate(network, arguments.material)
        WEIGHTS.parent.mkdir(exist_ok=True)
        state = network.state_dict().items()
        halves = {key: value.half() if value.is_floating_point() else value for key, value in state}
        with atomic_write(WEIGHTS) as part:
            save_file(halves, part)
        print(f"{WEIGHTS.name}: sha256 {weights.file_sha256(WEIGHTS)}")
    if arguments.evaluate:
        for line in evaluate(load(WEIGHTS), arguments.evaluate, arguments.material):
            print(line, flush=True)


if __name__ == "__main__":
    main()
