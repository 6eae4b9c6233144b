"""`[train.instantid]`."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bolid_train.settings import BranchSettings

FILE, FOLDER = "ip-adapter.bin", "ControlNetModel"
"""What the published checkpoint consists of."""
CONFIG, WEIGHTS = f"{FOLDER}/config.json", f"{FOLDER}/diffusion_pytorch_model.safetensors"


class Settings(BranchSettings):
    """Settings of method `instantid`."""

    fixed: ClassVar[tuple[str, ...]] = ("identity", "queries", "width", "depth")
    frozen_files: ClassVar[tuple[str, ...]] = ("face_encoder",)
    beside_public_file: ClassVar[tuple[str, ...]] = (CONFIG, WEIGHTS)

    checkpoint: str | None = None
    """A published checkpoint to start from: a folder, or a repository on the hub, with `ip-adapter.bin` and the folder
    `ControlNetModel`; or the path of such an `ip-adapter.bin`. InstantX's is for research only."""
    identity: Literal["body", "face"] = "body"
    """What the tokens are made of and what IdentityNet is shown: the reference photo's CLIP embedding and 17 joints, or
    a face's embedding and its five points, as published."""
    face_encoder: str | None = None
    """With `identity = "face"`: a recognition network in ONNX, such as `glintr100.onnx`: a file, or
    `owner/repository/file` on the hub. A published checkpoint needs the one that it was trained with."""
    queries: Annotated[int, Field(ge=1, le=1024)] = 16
    """Number of tokens."""
    width: Annotated[int, Field(ge=64, le=8192, multiple_of=64)] | None = None
    """Width of the resampler. (default: five eighths of the text's, as published: 1280 for SDXL)"""
    depth: Annotated[int, Field(ge=1, le=32)] = 4
    """Layers of the resampler."""

    @property
    def public_file(self) -> str | None:
        if self.checkpoint is None or Path(self.checkpoint).suffix in (".bin", ".safetensors"):
            return self.checkpoint
        return f"{self.checkpoint}/{FILE}"

    @model_validator(mode="before")
    @classmethod
    def _absent_as_published(cls, values: Any) -> Any:
        """A published checkpoint has an answer to no face, which is not zero."""
        if isinstance(values, dict) and values.get("checkpoint"):
            return {"absent": "projected_zeros"} | values
        return values

    @model_validator(mode="after")
    def _has_face_encoder(self) -> Self:
        if (self.identity == "face") != (self.face_encoder is not None):
            raise ValueError('identity = "face" and face_encoder belong together; set both or neither')
        return self
