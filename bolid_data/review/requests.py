"""What the page may send: checked before anything is done with it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bolid_data.curate.decide import MAX_WHY
from bolid_data.curate.judge import REASONS
from bolid_data.fields import Sha256, Slug, TriggerWord, Words

MAX_BYTES = 16_000_000
"""Of a request's body: the sha256s of 200,000 photos."""

RequestId = Annotated[str, Field(pattern="^[A-Za-z0-9-]{8,64}$")]
Photos = Annotated[list[Sha256], Field(min_length=1, max_length=200_000)]
Text = Annotated[str, Field(max_length=200)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Looked(_Request):
    """The photos to show: the query of an address, whose values are text."""

    person: Slug | Literal[""] = ""
    verdict: Literal["all", "kept", "out"] = "all"
    reason: str = ""
    decided: Literal["any", "yes", "no"] = "any"
    words: Text = ""
    suspects: bool = False
    sort: Literal["person", "margin", "date"] = "person"

    @field_validator("reason")
    @classmethod
    def _known(cls, reason: str) -> str:
        if reason and reason not in REASONS:
            raise ValueError("is no reason")
        return reason


class _Change(_Request):
    id: RequestId
    """Made by the page: a request that is sent again, because its answer was lost, changes nothing twice."""


class Decision(_Change):
    what: Literal["keep", "reject", "assign", "clear"]
    photos: Photos
    person: Text = ""  # to whom they are assigned, by slug or name
    new: bool = False
    why: Annotated[str, Field(max_length=MAX_WHY)] = ""


class Merge(_Change):
    person: Slug
    into: Slug


class Step(_Change):
    """To undo or to redo."""


class Captions(_Change):
    captions: Annotated[dict[Sha256, Words], Field(min_length=1, max_length=1000)]


class Replacement(_Change):
    find: Annotated[str, Field(min_length=1, max_length=1000)]
    replace: Annotated[str, Field(max_length=1000)] = ""
    match_case: bool = True
    apply: bool = False


class Trigger(_Change):
    trigger: TriggerWord


class Thresholds(_Request):
    """Thresholds to preview, or to write into the manifest; `None` takes a key out of it."""

    values: Annotated[dict[Annotated[str, Field(max_length=40)], bool | int | Number | None], Field(max_length=40)]


class Applied(Thresholds, _Change):
    pass
