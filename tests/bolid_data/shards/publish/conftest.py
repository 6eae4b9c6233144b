from tests.support.published_dataset import home, sharded  # noqa: F401
