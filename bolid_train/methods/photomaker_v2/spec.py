"""Method `photomaker-v2`: as `photomaker`, with an identity embedding of each photo."""

from bolid_train.data.features.tokens import PromptTokens
from bolid_train.data.features.views import ViewEmbedding
from bolid_train.methods.photomaker.class_word import without_trigger
from bolid_train.methods.photomaker.photos import IdPixels
from bolid_train.methods.photomaker_v2.method import PhotoMakerV2
from bolid_train.methods.photomaker_v2.settings import Settings
from bolid_train.methods.spec import MethodSpec

SPEC = MethodSpec(
    "photomaker-v2",
    PhotoMakerV2,
    settings=Settings,
    features=(IdPixels, PromptTokens, ViewEmbedding),
    conditions=("text", "id"),
    scales=("id",),
    changes_base=True,
    text_of=without_trigger,
)
