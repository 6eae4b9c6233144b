"""Which addresses are asked for, and what of an address is handed on."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bolid_data.collect.http.transport import PrivateAddressError, is_private, refuse_private
from bolid_data.collect.rebuild import Options
from bolid_data.shard_index import ShardIndex
from bolid_data.shards.lock import verify
from bolid_data.shards.write import shard
from tests.bolid_data.collect.sources.test_gallery_site import rows
from tests.bolid_data.collect.test_hostile import fetch, write_csv
from tests.bolid_data.collect.test_rebuild import rebuild
from tests.bolid_data.shards.test_shards import finish, manifest
from tests.support.gallery_site import Site, photo, serve
from tests.support.measured_dataset import World, jpeg


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1", "::",
        "fe80::1", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::1",
        "2002:7f00:1::", "::8.8.8.8", "::127.0.0.1", "fec0::1", "ff02::1", "fe80::1%eth0",
    ],
)  # fmt: skip
def test_what_counts_as_inside(address: str) -> None:
    with pytest.raises(PrivateAddressError):
        refuse_private(address)
    host = f"[{address}]" if ":" in address else address
    assert is_private(f"http://{host}/1.jpg")


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_what_is_public(address: str) -> None:
    refuse_private(address)
    assert not is_private(f"http://{f'[{address}]' if ':' in address else address}/1.jpg")


def test_a_list_reaches_this_machine_only_where_its_manifest_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(Site({"anna": [photo(1)]})) as site:
        port = site.base_url.rpartition(":")[2]
        hosts = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]")
        write_csv(tmp_path / "list.csv", [("Anna", f"http://{host}:{port}/archive/anna/img/0.jpg") for host in hosts])
        more = 'contact = "mailto:you@example.org"'
        assert fetch(tmp_path, more, local=False)["reasons"] == {"private_address": len(hosts)}
        assert site.requests == []
        assert "set [source] allow_local = true" in capsys.readouterr().err
        stats = fetch(tmp_path, more)
        assert (stats["new"], stats["known"]) == (1, len(hosts) - 1), "and then they are asked for after all"
    assert rows(tmp_path, "SELECT DISTINCT state FROM sightings") == [("stored",)]


# What may be secret.


SECRET = "very-secret"


def signed(tmp_path: Path, site: Site) -> World:
    """Two photos at one address that differ in their tokens alone, and one whose address has a password."""
    world = World(tmp_path / "original")
    photos = {f"{SECRET}-{number}": jpeg(number) for number in range(3)}

    async def answer(request: web.Request) -> web.StreamResponse:
        return (
            web.Response(body=photos[request.query["token"]]) if "token" in request.query else web.Response(status=403)
        )

    site.faults = {f"/anna.jpg?token={token}": answer for token in photos} | {"/anna.jpg": answer}
    for token, data in list(photos.items())[:2]:
        add(world, data, f"{site.base_url}/anna.jpg?token={token}")
    user = site.base_url.replace("//", f"//anna:{SECRET}@")
    add(world, photos[f"{SECRET}-2"], f"{user}/anna.jpg?token={SECRET}-2")
    finish(world)
    shard(manifest(tmp_path), world.dataset)
    return world


def add(world: World, data: bytes, url: str) -> None:
    sha256 = world.photo("anna", data=data)
    with world.dataset.catalog.open() as con:
        con.execute("UPDATE sightings SET url = ?, page_url = 'list.csv' WHERE sha256 = ?", [url, sha256])


def test_what_is_handed_on_has_no_secrets_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(Site({})) as site:
        world = signed(tmp_path, site)
        plain = f"{site.base_url}/anna.jpg"
    for file in (
        world.dataset.lock,
        world.dataset.measurements,
        world.dataset.index,
        *world.dataset.shards.glob("*.tar"),
    ):
        assert SECRET.encode() not in file.read_bytes(), file
    index = ShardIndex(world.dataset.index)
    assert [row["url"] for row in index.sources()] == [plain] * 3
    assert index.cut_addresses == 3
    photos = json.loads(world.dataset.lock.read_text())["photos"]
    assert len(photos) == 3, "nothing is merged"
    addresses = sorted((entry["url"], entry["left_out"]) for photo in photos for entry in photo["sightings"])
    assert addresses == [(plain, ["token"]), (plain, ["token"]), (plain, ["token", "user"])]
    assert "3 addresses contain what may be secret" in capsys.readouterr().err
    assert verify(world.dataset) == []
    with world.dataset.catalog.open(read_only=True) as con:
        assert con.execute("SELECT count(*) FROM sightings WHERE contains(url, 'very-secret')").fetchone() == (3,)


def test_a_list_supplies_secrets_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(Site({})) as site:
        world = signed(tmp_path, site)
        options: dict[str, Any] = {"contact": "mailto:you@example.org", "delay": 0, "allow_local": True}
        report = rebuild(world.dataset.lock, tmp_path / "without", Options(**options))
        assert {entry["reason"] for entry in report["failed"]} == {"http_403"}
        assert "--urls LIST supplies them again" in capsys.readouterr().err
        tokens = [f"{SECRET}-{number}" for number in (2, 0, 1)]
        write_csv(tmp_path / "list.csv", [("Anna", f"{site.base_url}/anna.jpg?token={token}") for token in tokens])
        report = rebuild(world.dataset.lock, tmp_path / "new", Options(**options, urls=tmp_path / "list.csv"))
    assert report["problem"] is None
    original, again = (
        json.loads(path.read_text()) for path in (world.dataset.lock, tmp_path / "new/dataset.lock.json")
    )
    assert (again["shards"], again["index"]) == (original["shards"], original["index"])
    assert SECRET not in (tmp_path / "new/dataset.lock.json").read_text()


def test_a_lock_reaches_this_machine_only_where_it_is_allowed_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(Site({"anna": [jpeg(1)]})) as site:
        world = World(tmp_path / "original")
        add(world, jpeg(1), f"{site.base_url}/archive/anna/img/0.jpg")
        finish(world)
        shard(manifest(tmp_path), world.dataset)
        report = rebuild(world.dataset.lock, tmp_path / "new", Options(delay=0))
        assert [entry["reason"] for entry in report["failed"]] == ["private_address"]
        assert site.requests == []
        assert "--allow-local" in capsys.readouterr().err
        assert rebuild(world.dataset.lock, tmp_path / "new", Options(delay=0, allow_local=True))["problem"] is None
