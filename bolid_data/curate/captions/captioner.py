"""What a captioner is."""

import re
from collections.abc import Sequence
from typing import Protocol

from bolid_data.curate.measurers.measurer import Keypoints, Photo
from bolid_data.errors import BolidError
from bolid_data.records import Model


class CaptionError(BolidError):
    """This batch could not be captioned; the message says why. Others may be."""


class Captioner(Protocol):
    """Puts photos into words, one line each. A caption is kept under its captioner's model and prompt."""

    model: Model
    prompt: str

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        """One caption a photo; `keypoints` are those of its person, None where nobody was found.

        Raises CaptionError where these photos fail.
        """
        ...


def tidy(text: str) -> str:
    """One line, without the words and phrases that a language model repeats at the end of its thoughts."""
    line = " ".join(text.split())
    return re.sub(r"\b(\w+(?:[ ,]+\w+){0,3}?)(?:[ ,]+\1\b)+", r"\1", line, flags=re.IGNORECASE)
