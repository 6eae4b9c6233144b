"""`[train.ip-adapter]`."""

from bolid_train.settings import ReferenceSettings


class Settings(ReferenceSettings):
    """Settings of method `ip-adapter`."""
