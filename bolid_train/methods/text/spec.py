"""Method `text`: the base with the prompt alone."""

from bolid_train.methods.spec import MethodSpec
from bolid_train.methods.text.method import TextOnly

SPEC = MethodSpec("text", lambda settings, _: TextOnly(settings), photos_per_person=1, is_trained=False)
