"""`[train.ip-adapter-views]`."""

from bolid_train.settings import BranchSettings


class Settings(BranchSettings):
    """Settings of method `ip-adapter-views`."""
