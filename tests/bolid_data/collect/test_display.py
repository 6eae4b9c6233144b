"""What a crawl shows while it runs: totals and the time left for the whole crawl, or none."""

import time

from rich.console import Console

from bolid_data.collect.display import _panel
from bolid_data.collect.stats import CrawlStats


def shown(stats: CrawlStats) -> str:
    console = Console(width=120, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(_panel(stats))
    return capture.get()


def test_while_lists_are_being_read_there_is_no_total_and_no_time_left() -> None:
    stats = CrawlStats(people=2, expected=40, visited=10, new=10, started=time.monotonic() - 10)
    text = shown(stats)
    assert "10 checked" in text
    assert "of 40" not in text
    assert "left" not in text


def test_once_all_lists_are_read_they_are_of_the_whole_crawl() -> None:
    stats = CrawlStats(people=2, expected=40, visited=10, new=10, all_listed=True, started=time.monotonic() - 10)
    text = shown(stats)
    assert "10 of 40 checked" in text
    assert "about 0:30 left" in text
