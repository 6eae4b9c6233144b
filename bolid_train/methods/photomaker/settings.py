"""`[train.photomaker]`."""

from typing import Annotated, ClassVar

from pydantic import Field

from bolid_data.manifest import Fraction
from bolid_train.settings import MethodSettings


class Settings(MethodSettings):
    """Settings of method `photomaker`."""

    fixed: ClassVar[tuple[str, ...]] = ("rank",)
    later: ClassVar[frozenset[str]] = frozenset({"merge_after"})

    from_file: str | None = None
    """A published PhotoMaker to start from: a file, or `owner/repository/file` on the hub. Name the image encoder that
    it was made with in `[train] image_encoder`."""
    rank: Annotated[int, Field(ge=1, le=4096)] = 64
    """Rank of the LoRA."""
    photos: Annotated[int, Field(ge=1, le=32)] = 4
    """Photos of the person that are put into the prompt, at most."""
    encoder_layers: Annotated[int, Field(ge=0, le=100)] = 4
    """How many of the image encoder's layers are trained, counted from the last one."""
    masked_loss: Fraction = 0.5
    """Probability that a row's loss is that of the box around the person alone."""
    merge_after: Fraction = 0.2
    """Share of a generation's steps after which the person is put into the prompt."""

    @property
    def public_file(self) -> str | None:
        return self.from_file
