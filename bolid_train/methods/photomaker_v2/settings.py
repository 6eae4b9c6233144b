"""`[train.photomaker-v2]`."""

from bolid_train.methods.photomaker import settings


class Settings(settings.Settings):
    """Settings of method `photomaker-v2`."""
