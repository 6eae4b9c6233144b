"""`[train.photomaker]`."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bolid_data.manifest import Fraction
from bolid_train.settings import MethodSettings


class Settings(MethodSettings):
    """Settings of method `photomaker`."""

    fixed: ClassVar[tuple[str, ...]] = ("version", "rank")
    later: ClassVar[frozenset[str]] = frozenset({"merge_after"})
    frozen_files: ClassVar[tuple[str, ...]] = ("face_encoder",)

    version: Literal[1, 2] = 1
    """Version 1 makes one token of each photo. Version 2 makes two, of CLIP's tokens and an identity embedding."""
    face_encoder: str | None = None
    """With `version = 2`: a recognition network in ONNX whose embedding of the face is the identity embedding: a file,
    or `owner/repository/file` on the hub. A published checkpoint needs the one that it was trained with. By default
    it is the CLIP embedding of the weighted photo."""
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

    @model_validator(mode="after")
    def _is_for_faces(self) -> Self:
        if self.face_encoder is not None and self.version != 2:
            raise ValueError("version 1 reads no faces; set version = 2, or remove face_encoder")
        return self
