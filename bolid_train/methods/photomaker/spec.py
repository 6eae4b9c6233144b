"""Method `photomaker`: the person as tokens of the prompt, and a LoRA."""

from pathlib import Path

from bolid_data.manifest import Train
from bolid_train.data.features.face import ViewFaceEmbedding
from bolid_train.data.features.feature import Feature
from bolid_train.data.features.tokens import PromptTokens
from bolid_train.data.features.views import ViewEmbedding
from bolid_train.methods.photomaker.class_word import without_trigger
from bolid_train.methods.photomaker.method import PhotoMaker
from bolid_train.methods.photomaker.photos import IdPixels
from bolid_train.methods.photomaker.settings import Settings
from bolid_train.methods.spec import MethodSpec


def _identity(train: Train, relative_to: Path) -> Feature | None:
    settings = Settings.of(train)
    if settings.version == 1:
        return None
    if settings.face_encoder:
        return ViewFaceEmbedding(train, settings.face_encoder, relative_to)
    return ViewEmbedding(train, relative_to)


SPEC = MethodSpec(
    "photomaker",
    PhotoMaker,
    settings=Settings,
    features=(IdPixels, PromptTokens, _identity),
    conditions=("text", "id"),
    scales=("id",),
    changes_base=True,
    text_of=without_trigger,
)
