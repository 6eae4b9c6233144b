"""`[train.ip-adapter]`."""

from bolid_train.settings import BranchSettings


class Settings(BranchSettings):
    """Settings of method `ip-adapter`."""
