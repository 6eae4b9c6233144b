"""Trains the prior of bodies given text, after the adapter, on the adapter's bodies."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bolid_data.progress import track
from bolid_train.data.batch import Batch
from bolid_train.diffusion.rng import RowRandom
from bolid_train.methods.bolid.encoder import Posterior
from bolid_train.methods.bolid.prior import BodyPrior

_TABLE_SIZE, _BATCH_SIZE, _LEARNING_RATE = 2048, 64, 1e-3


def fit_prior(
    prior: BodyPrior, encode: Callable[[Batch], Posterior], batches: Callable[[int], Batch], steps: int
) -> None:
    """Trains the prior for `steps` steps on the people, views and prompts of the batches.

    Means and variances of bodies are computed once and kept in a table, so that a step needs neither the encoder nor
    files. Every step samples them anew, so that the prior does not memorise people. The same batches give the same
    prior bit for bit.
    """
    if steps == 0:
        return
    posterior, prompts = _table(encode, batches, min(_TABLE_SIZE, steps * _BATCH_SIZE))
    rows = len(prompts)
    random = RowRandom(range(rows), posterior.mean.device)
    prior.fit_scale(posterior.sample(random.normal("body", posterior.mean.shape[1])))
    optimizer = torch.optim.AdamW(prior.parameters(), lr=_LEARNING_RATE)
    order = torch.Generator().manual_seed(0)
    for step in track(range(1, steps + 1), "training the prior"):
        indices = torch.randint(rows, (_BATCH_SIZE,), generator=order)
        seeds = range(step * _BATCH_SIZE + rows, (step + 1) * _BATCH_SIZE + rows)
        random = RowRandom(seeds, posterior.mean.device)
        batch = _select(posterior, indices)
        bodies = batch.sample(random.normal("body", batch.mean.shape[1]))
        loss = prior.loss(bodies, prompts[indices].to(bodies), random)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _table(
    encode: Callable[[Batch], Posterior], batches: Callable[[int], Batch], size: int
) -> tuple[Posterior, Tensor]:
    """Posteriors of about `size` rows and their prompts' embeddings, in half precision, because SDXL's are large."""
    means, log_variances, prompts = [], [], []
    first = len(batches(0))
    for number in range(math.ceil(size / first)):
        batch = batches(number)
        posterior, has_views = encode(batch), batch.views.has_views()
        means.append(posterior.mean[has_views])
        if posterior.log_variance is not None:
            log_variances.append(posterior.log_variance[has_views])
        prompts.append(batch.prompt_embeds[has_views].half())
    return Posterior(torch.cat(means), torch.cat(log_variances) if log_variances else None), torch.cat(prompts)


def _select(posterior: Posterior, indices: Tensor) -> Posterior:
    log_variance = posterior.log_variance
    return Posterior(posterior.mean[indices], None if log_variance is None else log_variance[indices])
