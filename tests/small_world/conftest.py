from tests.support.training_fixtures import dataset, one_thread, trained  # noqa: F401
