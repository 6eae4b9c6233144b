"""The prior of bodies given text, trained after the adapter, whose bodies it learns."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bolid_train.data.batch import Batch
from bolid_train.diffusion.rng import RowRandom
from bolid_train.methods.bolid.encoder import Posterior
from bolid_train.methods.bolid.prior import BodyPrior

_TABLE, _ROWS, _LEARNING_RATE = 2048, 64, 1e-3


def fit_prior(
    prior: BodyPrior, encode: Callable[[Batch], Posterior], batches: Callable[[int], Batch], steps: int
) -> None:
    """Trains the prior for `steps` steps on the people, views and prompts of the batches.

    Bodies are means and variances in a table that is made once, so that a step needs neither the encoder nor files;
    every step draws them anew, which keeps the prior from learning people by heart. The same batches give the same
    prior, to the last bit.
    """
    if steps == 0:
        return
    posterior, prompts = _table(encode, batches, min(_TABLE, steps * _ROWS))
    rows = len(prompts)
    random = RowRandom(range(rows), posterior.mean.device)
    prior.fit_scale(posterior.sample(random.normal("body", posterior.mean.shape[1])))
    optimizer = torch.optim.AdamW(prior.parameters(), lr=_LEARNING_RATE)
    order = torch.Generator().manual_seed(0)
    for step in range(1, steps + 1):
        chosen = torch.randint(rows, (_ROWS,), generator=order)
        random = RowRandom(range(step * _ROWS + rows, (step + 1) * _ROWS + rows), posterior.mean.device)
        some = _rows(posterior, chosen)
        bodies = some.sample(random.normal("body", some.mean.shape[1]))
        loss = prior.loss(bodies, prompts[chosen].to(bodies), random)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _table(
    encode: Callable[[Batch], Posterior], batches: Callable[[int], Batch], size: int
) -> tuple[Posterior, Tensor]:
    """Posteriors of about `size` rows, and their prompts' embeddings, kept in half precision: SDXL's are large."""
    means, log_variances, prompts = [], [], []
    first = len(batches(0))
    for number in range(math.ceil(size / first)):
        batch = batches(number)
        found, given = encode(batch), batch.views.given()
        means.append(found.mean[given])
        if found.log_variance is not None:
            log_variances.append(found.log_variance[given])
        prompts.append(batch.prompt_embeds[given].half())
    return Posterior(torch.cat(means), torch.cat(log_variances) if log_variances else None), torch.cat(prompts)


def _rows(posterior: Posterior, chosen: Tensor) -> Posterior:
    log_variance = posterior.log_variance
    return Posterior(posterior.mean[chosen], None if log_variance is None else log_variance[chosen])
