from pathlib import Path

import pytest

from bolid_data.dataset import Dataset
from bolid_data.records import Sighting, Validators
from tests.support import killed_crawl
from tests.support.measured_dataset import World


@pytest.mark.slow
def test_a_crawl_killed_at_random_ends_as_an_undisturbed_one_and_no_whole_photo_is_sent_twice() -> None:
    assert killed_crawl.main(kills=5, seed=7) == 0


def test_a_download_that_was_committed_before_the_kill_does_not_stay_in_the_inbox(tmp_path: Path) -> None:
    dataset = World(tmp_path).dataset
    committed, changed, pending = "https://a/1.jpg", "https://a/2.jpg", "https://a/3.jpg"
    dataset.catalog.sightings.record(
        sightings=[
            Sighting(url, "anna", url, "stored", sha256="ab" * 32, etag='"1"', last_modified="Mon, 01 Jan 2024")
            for url in (committed, changed)
        ]
    )
    for url, etag in ((committed, '"1"'), (changed, '"2"'), (pending, '"1"')):
        _complete_download(dataset, url, Validators(etag, "Mon, 01 Jan 2024"))
    dataset.prepare()
    inbox = dataset.store.open_inbox()
    assert [inbox.get(url) is not None for url in (committed, changed, pending)] == [False, True, True]


def _complete_download(dataset: Dataset, url: str, validators: Validators) -> None:
    dataset.store.open_inbox()
    part = dataset.store.download_path(url, validators)
    part.write_bytes(b"bytes")
    dataset.store.mark_complete(part)
