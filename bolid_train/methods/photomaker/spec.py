"""Method `photomaker`: the person as tokens of the prompt, and a LoRA."""

from bolid_train.data.features.tokens import PromptTokens
from bolid_train.methods.photomaker.class_word import without_trigger
from bolid_train.methods.photomaker.method import PhotoMaker
from bolid_train.methods.photomaker.photos import IdPixels
from bolid_train.methods.photomaker.settings import Settings
from bolid_train.methods.spec import MethodSpec

SPEC = MethodSpec(
    "photomaker",
    lambda settings, _: PhotoMaker(settings, Settings.of(settings)),
    settings=Settings,
    features=(IdPixels, PromptTokens),
    conditions=("text", "id"),
    scales=("id",),
    changes_base=True,
    text_of=without_trigger,
)
