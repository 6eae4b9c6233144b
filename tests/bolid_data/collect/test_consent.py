import pytest

from bolid_data.collect.consent import Robots, opted_out

RULES = "User-agent: *\nDisallow: /private/\nCrawl-delay: 2\n\nUser-agent: otherbot\nDisallow: /\n"


def test_robots_are_obeyed() -> None:
    robots = Robots(200, RULES)
    assert robots.allows("https://a.example/photos/")
    assert not robots.allows("https://a.example/private/1.jpg")
    assert robots.crawl_delay == 2


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, True), (500, False), (503, False), (None, False)])
def test_robots_that_cannot_be_had(status: int | None, allowed: bool) -> None:
    assert Robots(status, "").allows("https://a.example/") is allowed


@pytest.mark.parametrize(
    ("headers", "directive"),
    [
        ([], None),
        (["all"], None),
        (["noai"], "noai"),
        (["max-snippet: 5, NoImageAI"], "noimageai"),
        (["none"], "none"),
        (["otherbot: noai"], None),
        (["bolid: noindex"], "noindex"),
        (["otherbot: nofollow", "noai"], "noai"),
        (["unavailable_after: Wed, 25 Jun 2025 15:00:00 GMT, noai"], "noai"),
        (["unavailable_after: Wed, 25 Jun 2025 15:00:00 GMT"], None),
    ],
)
def test_opt_outs_in_headers(headers: list[str], directive: str | None) -> None:
    assert opted_out(headers) == directive
