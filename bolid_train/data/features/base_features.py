"""What every method reads of photos."""

from bolid_data.manifest import Train
from bolid_train.data.features.feature import Feature
from bolid_train.data.features.prompt import Prompt
from bolid_train.data.features.target import TargetImage


def base_features(settings: Train) -> list[Feature]:
    """The target's latents, keypoints and prompt."""
    return [TargetImage(settings), Prompt(settings)]
