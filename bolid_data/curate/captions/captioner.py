"""The interface of captioners."""

import re
from collections.abc import Sequence
from typing import Protocol

from bolid_data.curate.measurers.measurer import Keypoints, Photo
from bolid_data.errors import BolidError, UsageError
from bolid_data.records import Model


class CaptionError(BolidError):
    """This batch could not be captioned, for the reason in the message; other batches may succeed."""


class Captioner(Protocol):
    """Captions photos, one line each. A caption is stored under its captioner's model and prompt, or under its model
    and name if an instruction asked for captions of a name."""

    model: Model
    prompt: str

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        """Captions each photo; `keypoints` are those of its person, None where no person was detected.

        Raises CaptionError if these photos fail.
        """
        ...

    def instructed(self, name: str, instruction: str) -> "Captioner":
        """The same captioner for captions of a name, which stands in place of its prompt; `model` changes with the
        instruction. Raises UsageError if it follows no instructions."""
        ...


def no_instructions(model: str, name: str) -> UsageError:
    """The error of a captioner that follows no instructions."""
    return UsageError(
        f"caption.also.{name}: {model} follows no instructions; name a chat model, such as "
        "Qwen/Qwen2.5-VL-3B-Instruct, in [models] caption, or remove [caption.also]"
    )


def tidy(text: str) -> str:
    """The text as one line, without repeated words and phrases, with which language models tend to end."""
    line = " ".join(text.split())
    return re.sub(r"\b(\w+(?:[ ,]+\w+){0,3}?)(?:[ ,]+\1\b)+", r"\1", line, flags=re.IGNORECASE)
