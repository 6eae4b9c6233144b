"""Reads numbers of a person from what several photos tell: a small network over a set of any size (Zaheer et al., Deep
Sets, NeurIPS 2017), trained and scored on different people."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

_FOLDS = 5
_STEPS, _BATCH, _RATE, _DECAY = 600, 48, 2e-3, 3e-3
_WIDTH = 96


class SetReader(nn.Module):
    """Sees photos one by one, averages, decides; each photo also says how much it should count for what."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.photo = nn.Sequential(
            nn.Linear(inputs, _WIDTH), nn.ReLU(), nn.Dropout(0.1), nn.Linear(_WIDTH, _WIDTH), nn.ReLU()
        )
        self.weight = nn.Linear(_WIDTH, _WIDTH)
        self.person = nn.Sequential(
            nn.Linear(_WIDTH + 1, _WIDTH), nn.ReLU(), nn.Dropout(0.1), nn.Linear(_WIDTH, outputs)
        )

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """(b, outputs) of photos (b, v, inputs)."""
        seen = self.photo(photos)
        pooled = (seen * self.weight(seen).softmax(1)).sum(1)
        count = torch.full((len(photos), 1), float(np.log2(photos.shape[1])) / 4)
        return self.person(torch.cat([pooled, count], 1))


def read(photos: np.ndarray, truth: np.ndarray, counts: tuple[int, ...], steps: int = _STEPS) -> dict[int, np.ndarray]:
    """For each count V: (people, groups, outputs) what is read from each group of V photos of a person, of whom the
    network has seen nothing.

    `photos` (people, 2, photos, inputs) has each photo and its mirror image; `truth` is (people, outputs).
    """
    found = {count: np.zeros((len(photos), photos.shape[2] // count, truth.shape[1])) for count in counts}
    fold_of = np.random.default_rng(0).permutation(len(photos)) % _FOLDS
    for fold in range(_FOLDS):
        train, test = fold_of != fold, fold_of == fold
        seen = photos[train].reshape(-1, photos.shape[-1])
        centre, spread = seen.mean(0), seen.std(0) + 1e-3
        scaled = torch.from_numpy(((photos - centre) / spread).clip(-4, 4).astype(np.float32))
        mean, deviation = truth[train].mean(0), truth[train].std(0)
        target = torch.from_numpy(((truth[train] - mean) / deviation).astype(np.float32))
        reader = _trained(scaled[torch.from_numpy(train)], target, counts, steps)
        for count in counts:
            groups = scaled[torch.from_numpy(test)].unflatten(2, (-1, count))
            with torch.no_grad():
                said = reader(groups.flatten(0, 2)).unflatten(0, groups.shape[:3]).mean(1)
            found[count][test] = said.numpy() * deviation + mean
    return found


def explained(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """R² (outputs,): the share of the variance among people that is read, over all groups of photos.

    `predicted` is (people, groups, outputs), as `read` gives it; `truth` is (people, outputs).
    """
    return 1 - ((predicted - truth[:, None]) ** 2).mean((0, 1)) / truth.var(0)


def table(predicted: dict[str, dict[int, np.ndarray]], truth: np.ndarray, values: Sequence[str]) -> list[str]:
    """The lines of a Markdown table of R² by what is read from (the keys of `predicted`) and by the count of photos."""
    lines = [f"| read from | photos | {' | '.join(values)} |", f"| --- | --- |{' --- |' * len(values)}"]
    for name, by_count in predicted.items():
        for count, predictions in by_count.items():
            lines.append(f"| {name} | {count} | {' | '.join(f'{r2:.2f}' for r2 in explained(predictions, truth))} |")
    return lines


def _trained(photos: torch.Tensor, target: torch.Tensor, counts: tuple[int, ...], steps: int) -> SetReader:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    reader = SetReader(photos.shape[-1], target.shape[1])
    optimizer = torch.optim.AdamW(reader.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    for _ in range(steps):
        who = rng.integers(len(photos), size=_BATCH)
        which = np.argsort(rng.random((_BATCH, photos.shape[2])), 1)[:, : rng.choice(counts)]
        batch = photos[who[:, None], rng.integers(2, size=_BATCH)[:, None], which]
        loss = nn.functional.mse_loss(reader(batch), target[who])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return reader.eval()
