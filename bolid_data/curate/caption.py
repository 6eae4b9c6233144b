"""What a captioner is, and which one a name means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bolid_data import weights
from bolid_data.curate.measure import Keypoints, Photo
from bolid_data.records import Model


class Captioner(Protocol):
    """Puts photos into words, one line each. A caption is kept under its captioner's model and prompt."""

    model: Model
    prompt: str

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        """One caption a photo; `keypoints` are those of its person, None where nobody was found."""
        ...


def load_captioner(name: str, near: Path) -> Captioner:
    """`describe`, the embedded describer; any other name is a BLIP-2 model: a folder (relative to `near`) or a
    hub repository.

    Raises BolidError for a model that is not to be had, UsageError for one that is no BLIP-2.
    """
    if name == "describe":
        from bolid_data.curate.describe import Describer

        return Describer()
    from bolid_data.curate.blip2 import Blip2Captioner

    return Blip2Captioner(name, weights.folder(name, near))
