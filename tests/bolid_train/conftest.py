from tests.support.training_fixtures import bucket, dataset, one_thread, trained  # noqa: F401
