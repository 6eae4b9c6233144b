"""`[train.ip-adapter]`."""

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from bolid_train.settings import ReferenceSettings

Layout = Literal["plain", "plus", "full-face"]


class Settings(ReferenceSettings):
    """Settings of method `ip-adapter`."""

    fixed: ClassVar[tuple[str, ...]] = ("layout",)

    layout: Layout = "plain"
    """Which IP-Adapter: `plain` takes the photo's CLIP embedding; `plus` and `full-face` take CLIP's penultimate hidden
    states, through a resampler or a token for each. The Plus Face checkpoint is `plus` with `reference = "face"`."""

    @model_validator(mode="before")
    @classmethod
    def _absent_as_published(cls, values: Any) -> Any:
        """These layouts have an answer to no photo, which is not zero; the plain one keeps it in its biases."""
        if isinstance(values, dict) and values.get("ref_from") and values.get("layout", "plain") != "plain":
            return {"absent": "projected_zeros"} | values
        return values
