"""`[train.ip-adapter]`."""

from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from bolid_train.settings import ReferenceSettings

Layout = Literal["plain", "plus", "full-face", "face-id", "face-id-plus"]


class Settings(ReferenceSettings):
    """Settings of method `ip-adapter`."""

    fixed: ClassVar[tuple[str, ...]] = ("layout",)
    frozen_files: ClassVar[tuple[str, ...]] = ("face_encoder",)

    layout: Layout = "plain"
    """Which IP-Adapter: `plain` takes the photo's CLIP embedding; `plus` and `full-face` take CLIP's penultimate hidden
    states, through a resampler or a token for each; `face-id` takes the embedding of a face, and has low-rank layers;
    `face-id-plus` (version 2) takes CLIP's states of the face, too. The Plus Face checkpoint is `plus` with
    `reference = "face"`."""
    face_encoder: str | None = None
    """With the layouts `face-id` and `face-id-plus`: a recognition network in ONNX: a file, or `owner/repository/file`
    on the hub."""

    @model_validator(mode="before")
    @classmethod
    def _absent_as_published(cls, values: Any) -> Any:
        """These layouts have an answer to no photo, which is not zero; the plain one keeps it in its biases."""
        if isinstance(values, dict) and values.get("ref_from") and values.get("layout", "plain") != "plain":
            return {"absent": "projected_zeros"} | values
        return values

    @model_validator(mode="after")
    def _has_face_encoder(self) -> Self:
        if self.layout.startswith("face-id") != (self.face_encoder is not None):
            raise ValueError('a layout "face-id…" and face_encoder belong together; set both or neither')
        return self
