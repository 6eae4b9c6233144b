from tests.support import killed_crawl


def test_a_crawl_killed_at_random_ends_as_an_undisturbed_one_and_no_whole_photo_is_sent_twice() -> None:
    assert killed_crawl.main(kills=5, seed=7) == 0
