"""The interface of captioners."""

import re
from collections.abc import Sequence
from typing import Protocol

from bolid_data.curate.measurers.measurer import Keypoints, Photo
from bolid_data.errors import BolidError
from bolid_data.records import Model


class CaptionError(BolidError):
    """This batch could not be captioned, for the reason in the message; other batches may succeed."""


class Captioner(Protocol):
    """Captions photos, one line each. A caption is stored under its captioner's model and prompt."""

    model: Model
    prompt: str

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        """Captions each photo; `keypoints` are those of its person, None where no person was detected.

        Raises CaptionError if these photos fail.
        """
        ...


def tidy(text: str) -> str:
    """The text as one line, without repeated words and phrases, with which language models tend to end."""
    line = " ".join(text.split())
    return re.sub(r"\b(\w+(?:[ ,]+\w+){0,3}?)(?:[ ,]+\1\b)+", r"\1", line, flags=re.IGNORECASE)
