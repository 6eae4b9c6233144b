from tests.support.training_fixtures import dataset, one_thread, seeded, trained  # noqa: F401
