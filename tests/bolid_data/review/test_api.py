"""The server of the page: who may ask, what it answers, what it changes."""

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock

from bolid_data import manifest as manifests
from bolid_data.curate import judge
from bolid_data.shards import forget
from tests.bolid_data.review.conftest import TOKEN, Served
from tests.support.measured_dataset import World


class Client:
    def __init__(self, served: Served) -> None:
        headers = {"authorization": f"Bearer {TOKEN}", "origin": served.origin}
        self._http = httpx.Client(base_url=served.origin, headers=headers, timeout=30)
        self._changes = 0

    def get(self, path: str, **query: Any) -> Any:
        answer = self._http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        self._changes += 1
        return self.ask(path, status, **{"id": f"request-{self._changes}"} | body)

    def ask(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = self._http.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def photos(self, **query: Any) -> list[dict[str, Any]]:
        photos: list[dict[str, Any]] = self.get("/api/view", **query)["photos"]
        return photos


@pytest.fixture
def client(served: Served) -> Client:
    return Client(served)


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({}, "/"), ({}, "/api/overview"), ({}, "/style.css"), ({"cookie": "bolid-review=x"}, "/api/overview"),
        ({"authorization": f"Bearer {TOKEN}", "host": "evil.example"}, "/"), ({}, f"/api/overview?token={TOKEN}"),
        ({"authorization": "Bearer another"}, "/api/view"),
    ],
)  # fmt: skip
def test_who_does_not_know_the_token_or_comes_by_another_name_is_refused(
    served: Served, headers: dict[str, str], path: str
) -> None:
    answer = httpx.get(served.origin + path, headers=headers)
    assert answer.status_code == 403
    assert "anna" not in answer.text


def test_the_address_gives_a_cookie_and_the_page_runs_only_its_own_scripts(served: Served) -> None:
    with httpx.Client() as client:
        answer = client.get(served.address)
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        overview = client.get(f"{served.origin}/api/overview").json()
        assert overview["name"] == "mine"


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "http://127.0.0.1:1"])
def test_another_page_changes_nothing(served: Served, world: World, origin: str | None) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"} | ({"origin": origin} if origin else {})
    body = {"id": "12345678", "what": "reject", "photos": list(world.verdicts())}
    assert httpx.post(f"{served.origin}/api/decide", json=body, headers=headers).status_code == 403
    assert world.dataset.catalog.decisions.log() == []


@pytest.mark.parametrize(
    "body",
    [
        {"what": "delete", "photos": ["0" * 64]}, {"what": "keep", "photos": []}, {"what": "keep", "photos": ["../x"]},
        {"what": "keep", "photos": ["0" * 64], "more": 1}, {"what": "keep", "photos": ["0" * 64], "why": "x" * 3000},
    ],
)  # fmt: skip
def test_what_is_no_decision_is_refused(client: Client, body: dict[str, Any]) -> None:
    assert client.post("/api/decide", 400, **body)["error"]


def test_photos_by_verdict_reason_caption_and_margin(client: Client) -> None:
    assert [photo["person"] for photo in client.photos()] == ["anna"] * 4 + ["berta"] * 2
    (out,) = client.photos(verdict="out")
    assert (out["reasons"], out["kept"], out["caption"]) == (["watermarked"], False, "a red dress, photo 3")
    assert client.photos(reason="watermarked") == [out]
    assert len(client.photos(words="PHOTO 4")) == 1
    (by_margin,) = client.photos(reason="watermarked", sort="margin")
    assert by_margin["margin"] == pytest.approx(-0.4)
    closest = client.photos(verdict="kept", person="anna", sort="margin")
    assert closest[0]["margin"] <= closest[-1]["margin"]


def test_decisions_are_those_of_the_commands_and_are_undone_and_redone(client: Client, world: World) -> None:
    view = client.get("/api/view")
    first, last = view["photos"][0]["sha256"], view["photos"][3]["sha256"]
    client.post("/api/decide", what="reject", photos=[first], why="a passer-by")
    client.post("/api/decide", what="keep", photos=[last])
    assert (world.verdicts()[first], world.verdicts()[last]) == (["rejected"], [])
    entries = world.dataset.catalog.decisions.log()
    assert [(entry["what"], entry["why"]) for entry in entries] == [("reject", "a passer-by"), ("keep", "")]
    page = client.get(f"/api/view/{view['view']}", start=0)["photos"]
    assert (page[0]["reasons"], page[0]["keep"], page[3]["kept"]) == (["rejected"], False, True)
    assert client.get(f"/api/view/{view['view']}/next", after=5)["place"] == 1

    assert client.post("/api/undo")["what"] == "keep"
    client.post("/api/undo")
    assert (world.verdicts()[first], world.verdicts()[last]) == ([], ["watermarked"])
    client.post("/api/redo")
    assert world.verdicts()[first] == ["rejected"]
    assert world.dataset.catalog.decisions.log()[-1]["why"] == "a passer-by"
    client.post("/api/redo")
    assert world.verdicts()[last] == []
    assert "nothing to redo" in client.post("/api/redo", 400)["error"]


def test_clearing_takes_back_what_was_decided_and_is_undone_too(client: Client, world: World) -> None:
    (out,) = client.photos(verdict="out")
    client.post("/api/decide", what="keep", photos=[out["sha256"]], why="a tattoo")
    client.post("/api/decide", what="clear", photos=[out["sha256"]])
    assert world.verdicts()[out["sha256"]] == ["watermarked"]
    client.post("/api/undo")
    assert world.verdicts()[out["sha256"]] == []
    client.post("/api/redo")
    assert world.verdicts()[out["sha256"]] == ["watermarked"]


def test_a_request_that_is_sent_again_changes_nothing_twice(client: Client, world: World) -> None:
    photos = [client.photos()[0]["sha256"]]
    for _ in range(2):
        client.post("/api/decide", id="sent-twice", what="reject", photos=photos)
    assert len(world.dataset.catalog.decisions.log()) == 1


def test_while_another_command_has_the_dataset_nothing_is_changed_and_all_can_be_read(
    client: Client, world: World
) -> None:
    photos = [client.photos()[0]["sha256"]]
    with FileLock(world.dataset.root / ".working"):
        answer = client.post("/api/decide", 423, id="comes-again", what="reject", photos=photos)
        assert answer["busy"]
        assert len(client.photos()) == 6
    client.post("/api/decide", id="comes-again", what="reject", photos=photos)
    assert world.verdicts()[photos[0]] == ["rejected"]


def test_merging_and_splitting_are_assignments(client: Client, world: World) -> None:
    view = client.get("/api/view", person="berta")
    client.post("/api/merge", person="berta", into="anna")
    assert {photo["person"] for photo in client.photos()} == {"anna"}
    assert {photo["person"] for photo in client.get(f"/api/view/{view['view']}", start=0)["photos"]} == {"anna"}
    client.post("/api/undo")
    assert len(client.photos(person="berta")) == 2
    split = [photo["sha256"] for photo in client.photos(person="anna")[:2]]
    client.post("/api/decide", what="assign", photos=split, person="Cleo Ray", new=True)
    assert [photo["sha256"] for photo in client.photos(person="cleo_ray")] == sorted(split, key=split.index)
    assert "nobody" in client.post("/api/decide", 400, what="assign", photos=split, person="dora")["error"]


def test_captions_are_written_by_hand_replaced_counted_and_undone(client: Client, world: World, home: Path) -> None:
    first = client.photos()[0]["sha256"]
    client.post("/api/caption", captions={first: "  a blue\ncoat "})
    assert client.photos()[0]["caption"] == "a blue coat"
    assert client.post("/api/replace", find="RED", replace="green", match_case=True)["photos"] == 0
    preview = client.post("/api/replace", find="RED", replace="green", match_case=False)
    assert preview["photos"] == 4  # of the kept
    assert client.photos()[1]["caption"] == "a red dress, photo 1"
    client.post("/api/replace", find="red", replace="green", apply=True)
    assert client.photos()[1]["caption"] == "a green dress, photo 1"
    counts = {row["word"]: row["captions"] for row in client.get("/api/words")}
    assert (counts["green"], counts["coat"], counts["a"]) == (4, 1, 5)
    client.post("/api/undo")
    assert client.photos()[1]["caption"] == "a red dress, photo 1"
    client.post("/api/undo")
    assert client.photos()[0]["caption"] == "a red dress, photo 0"
    client.post("/api/redo")
    assert client.photos()[0]["caption"] == "a blue coat"
    client.post("/api/trigger", trigger="ohwx")
    assert manifests.load(home / "m.toml").caption.trigger == "ohwx"
    assert "control" in client.post("/api/caption", 400, captions={first: "\x1b[2J"})["error"]


def test_thresholds_are_previewed_as_the_judge_would_judge_and_then_written(
    client: Client, world: World, home: Path
) -> None:
    before = world.verdicts()
    described = {one["key"]: one for one in client.get("/api/thresholds")["thresholds"]}
    assert described["max_watermark"]["value"] == 0.5 and sum(described["max_watermark"]["histogram"]["counts"]) == 6
    assert "max_watermark" in client.ask("/api/preview", 400, values={"max_watermark": 2.0})["error"]
    values = {"max_watermark": 0.15, "min_photos_per_person": 3.0}
    preview = client.ask("/api/preview", values=values)
    assert world.verdicts() == before
    applied = client.post("/api/apply", values=values)
    assert {key: preview[key] for key in ("gained", "lost", "gained_by", "lost_by", "kept")} == {
        key: applied[key] for key in ("gained", "lost", "gained_by", "lost_by", "kept")
    }
    assert (preview["lost"], preview["kept"]) == (5, 0)
    text = (home / "m.toml").read_text()
    assert text.startswith("# a dataset of tests") and "max_watermark = 0.15  # of the model" in text
    assert judge.last_judgement(world.dataset.catalog)[0].min_photos_per_person == 3  # type: ignore[index]


def test_a_manifest_that_comes_with_bolid_is_not_changed(home: Path, world: World) -> None:
    with Served(home / "m.toml", world.dataset, packaged=True) as served:
        before = (home / "m.toml").read_bytes()
        error = Client(served).post("/api/apply", 400, values={"max_watermark": 0.1})["error"]
        assert "comes with BoLID" in error
        assert (home / "m.toml").read_bytes() == before


def test_thumbnails_are_made_once_and_are_forgotten_with_the_person(client: Client, world: World) -> None:
    photos = {photo["sha256"]: photo["person"] for photo in client.photos()}
    for sha256 in photos:
        answer = client._http.get(f"/thumbnail/{sha256}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert answer.headers["cache-control"] == "no-store"
    thumbnails = world.dataset.store.thumbnails
    assert {file.stem for file in thumbnails.rglob("*.webp")} == photos.keys()
    assert client._http.get(f"/preview/{next(iter(photos))}").headers["content-type"] == "image/jpeg"
    trace = forget.find(world.dataset, "anna")
    assert trace
    with world.dataset.working():
        forget.forget(world.dataset, trace)
    assert {photos[file.stem] for file in thumbnails.rglob("*.webp")} == {"berta"}
    assert client._http.get(f"/thumbnail/{min(trace.photos)}").status_code == 404
    world.dataset.store.discard(next(sha256 for sha256, person in photos.items() if person == "berta"))
    assert len(list(thumbnails.rglob("*.webp"))) == 1


def test_strangers_bytes_are_never_sent_and_what_is_no_photo_is_not_found(client: Client, world: World) -> None:
    html = b"<html><script>alert(1)</script>"
    sha256 = world.photo("anna", data=html)
    answer = client._http.get(f"/thumbnail/{sha256}")
    assert answer.status_code == 404 and b"script" not in answer.content
    assert client._http.get("/preview/..%2f..%2fm.toml").status_code == 404
    assert client._http.get("/manifest_file.py").status_code == 404


def test_decisions_and_queries_at_the_same_time(client: Client, served: Served, world: World) -> None:
    photos = [photo["sha256"] for photo in client.photos()]
    failed: list[str] = []

    def read() -> None:
        other = Client(served)
        for _ in range(6):
            for path in ("/api/overview", f"/api/photo/{photos[0]}"):
                try:
                    other.get(path)
                except AssertionError as error:
                    failed.append(str(error))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for photo in photos[:3]:
        client.post("/api/decide", what="reject", photos=[photo])
    for reader in readers:
        reader.join()
    assert failed == []
    assert list(world.verdicts().values()).count(["rejected"]) == 3
