"""`[train.lora]`."""

from typing import Annotated, ClassVar

from pydantic import Field

from bolid_data.fields import Sha256
from bolid_train.settings import MethodSettings


class Settings(MethodSettings):
    """Settings of method `lora`."""

    moved: ClassVar[dict[str, str]] = {name: name for name in ("person", "photos", "rank")}
    fixed: ClassVar[tuple[str, ...]] = ("rank",)
    personal: ClassVar[frozenset[str]] = frozenset({"person", "photos"})

    person: str | None = None
    """The person to train on, in any split."""
    photos: list[Sha256] = Field(default_factory=list)
    """The person's photos to train on, by sha256; none means all."""
    rank: Annotated[int, Field(ge=1, le=4096)] = 16
    """Rank of the layers."""
