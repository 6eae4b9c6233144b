"""`[train.bolid]`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bolid_data.manifest import Count, NonNegative
from bolid_train.settings import ReferenceSettings


class Settings(ReferenceSettings):
    """Settings of method `bolid`."""

    moved: ClassVar[dict[str, str]] = {
        name: name for name in ("body_encoder", "aggregator", "body_dim", "encoder_steps", "prior_steps")
    } | {f"objective.{name}": name for name in ("kl", "kl_warmup", "free_bits", "proportions")}
    fixed: ClassVar[tuple[str, ...]] = ("body_dim",)
    later: ClassVar[frozenset[str]] = frozenset({"prior_steps"})

    body_encoder: Literal["variational", "plain"] = "variational"
    """A plain encoder has neither variance nor KL term."""
    aggregator: Literal["mean", "attention"] = "mean"
    """How a person's views are combined."""
    body_dim: Annotated[int, Field(ge=8, le=8192)] = 768
    """Width of the body embedding."""
    encoder_steps: Count = 500
    """Steps that train the body encoder before the adapter."""
    prior_steps: Count = 500
    """Steps that train the prior of body embeddings given text, after the adapter."""
    kl: NonNegative = 0.015
    """Weight of the posterior's KL divergence from N(0, I), in nats per dimension."""
    kl_warmup: Count = 0
    """Steps over which `kl` grows to its value."""
    free_bits: NonNegative = 0.05
    """Nats per dimension that the KL term does not penalise."""
    proportions: NonNegative = 0.3
    """Weight of predicting the person's proportions from the body embedding."""
