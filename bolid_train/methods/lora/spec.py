"""Method `lora`: a LoRA of one person."""

from bolid_train.data.preflight import Subject
from bolid_train.methods.lora.method import Lora
from bolid_train.methods.lora.settings import Settings
from bolid_train.methods.spec import MethodSpec

SPEC = MethodSpec(
    "lora",
    lambda settings, _: Lora(settings),
    settings=Settings,
    scales=("body",),
    photos_per_person=1,
    changes_base=True,
    subject=lambda settings: Subject(settings.person, settings.photos),
)
