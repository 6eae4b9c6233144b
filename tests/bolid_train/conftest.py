from tests.support.training_fixtures import bucket, dataset, one_thread, seeded, trained  # noqa: F401
