"""`bolid scrape --dry-run`, `--log` and `-v`."""

import json
import re
import stat
from pathlib import Path

import pytest

from tests.support.commands import bolid
from tests.support.gallery_site import Site, photo, serve

FOLDER = 'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n'
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S.*")


def site_manifest(home: Path, site: Site) -> None:
    source = f'kind = "theplace"\nbase_url = "{site.base_url}"\nmin_photos = 1\ndelay = 0.0\n'
    (home / "m.toml").write_text(f'name = "mine"\n[source]\n{source}')


def test_a_dry_run_on_a_folder_counts_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(FOLDER)
    files = [tmp_path / "photos" / person / f"{number}.jpg" for person in ("ana", "eva") for number in range(2)]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo(number))
    (tmp_path / "photos" / "ana" / "notes.txt").write_text("not a photo")
    size = sum(file.stat().st_size for file in files)
    done = bolid("scrape", "m.toml", "--dry-run", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {
        "dry_run": True, "people": 2, "photos": 4, "new": 4, "bytes": size, "bytes_estimated": False
    }  # fmt: skip
    assert done.stderr.endswith("next: bolid scrape m.toml\n")
    assert not (tmp_path / "data").exists()
    bolid("scrape", "m.toml", cwd=tmp_path)
    (tmp_path / "photos" / "eva" / "more.jpg").write_bytes(photo(9))
    assert bolid("scrape", "m.toml", "--dry-run", cwd=tmp_path).stdout.startswith(
        "would collect 2 people, 5 photos, 1 of them new ("
    )


def test_a_dry_run_on_a_site_reads_its_lists_for_the_crawl(tmp_path: Path) -> None:
    people = {f"person_{number}": [photo(10 * number + index) for index in range(3)] for number in range(2)}
    with serve(Site(people)) as site:
        site_manifest(tmp_path, site)
        done = bolid("scrape", "m.toml", "--dry-run", "--json", cwd=tmp_path)
        counts = json.loads(done.stdout)
        assert (counts["people"], counts["photos"], counts["new"], counts["bytes"]) == (2, 6, 6, None)
        assert not [request for request in site.requests if "/pic/" in str(request) or "/img/" in str(request)]
        read = len(site.requests)
        assert json.loads(bolid("scrape", "m.toml", "--json", cwd=tmp_path).stdout)["new"] == 6
        assert not [request for request in site.requests[read:] if str(request).endswith("/photos/person_0/")]
        done = bolid("scrape", "m.toml", "--dry-run", cwd=tmp_path)
        assert done.stdout == "would collect 2 people, 6 photos, 0 of them new (0 bytes)\n"


def test_a_dry_run_on_a_list_estimates_the_bytes(tmp_path: Path) -> None:
    with serve(Site({"ana": [photo(1), photo(2)]})) as site:
        url = f"{site.base_url}/archive/ana/img"
        source = 'kind = "urls"\npath = "list.csv"\nallow_local = true\ndelay = 0.0\n'
        (tmp_path / "m.toml").write_text(f'name = "mine"\n[source]\n{source}')
        (tmp_path / "list.csv").write_text(f"person,url\nAna,{url}/0.jpg\n")
        done = bolid("scrape", "m.toml", "--dry-run", cwd=tmp_path)
        assert done.stdout == "would collect 1 person, 1 photo, 1 of them new (of unknown size)\n"
        assert site.requests == []
        stored = json.loads(bolid("scrape", "m.toml", "--json", cwd=tmp_path).stdout)["bytes"]
        with (tmp_path / "list.csv").open("a") as rows:
            rows.write(f"Ana,{url}/1.jpg\nEva,{url}/2.jpg\n")
        counts = json.loads(bolid("scrape", "m.toml", "--dry-run", "--json", cwd=tmp_path).stdout)
    assert (counts["people"], counts["photos"], counts["new"]) == (2, 3, 2)
    assert (counts["bytes"], counts["bytes_estimated"]) == (2 * stored, True)


def test_the_log_has_times_and_addresses(tmp_path: Path) -> None:
    with serve(Site({"ana": [photo(1), b"<html>login</html>"]})) as site:
        site_manifest(tmp_path, site)
        done = bolid("scrape", "m.toml", "--log", "crawl.log", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told = bolid("scrape", "m.toml", "-v", cwd=tmp_path).stderr
    log = tmp_path / "crawl.log"
    lines = log.read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    text = "\n".join(line.split(" ", 1)[1] for line in lines)
    assert re.search(rf"^{site.base_url}/photos/ GET: 200 after \d\.\d+ s$", text, re.M)
    assert re.search(r"^\S+/archive/ana/img/0\.jpg of ana: stored as [0-9a-f]{64}$", text, re.M)
    assert re.search(r"^\S+/archive/ana/img/1\.jpg of ana: no photo: broken$", text, re.M)
    assert re.search(r"^scrape: 1 person, 1 photo new", text, re.M)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert len([line for line in told.splitlines() if LINE.fullmatch(line)]) >= 3
    assert told.count("scrape: 1 person") == 1, "a note is not printed twice"
    bolid("status", "m.toml", cwd=tmp_path)
    assert log.read_text().splitlines() == lines, "only the commands that are told to write a log"


def test_a_log_keeps_no_secrets(tmp_path: Path) -> None:
    with serve(Site({"ana": [photo(1)]})) as site:
        source = 'kind = "urls"\npath = "list.csv"\nallow_local = true\ndelay = 0.0\n'
        (tmp_path / "m.toml").write_text(f'name = "mine"\n[source]\n{source}')
        (tmp_path / "list.csv").write_text(f"person,url\nAna,{site.base_url}/archive/ana/img/0.jpg?token=very-secret\n")
        assert bolid("scrape", "m.toml", "--log", "crawl.log", cwd=tmp_path).returncode == 0
    text = (tmp_path / "crawl.log").read_text()
    assert "/archive/ana/img/0.jpg" in text
    assert "very-secret" not in text


@pytest.mark.parametrize("options", [("--log", "nowhere/crawl.log"), ("--dry-run", "--recheck-consent")])
def test_options_that_cannot_be_used_are_bad_usage(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(FOLDER)
    done = bolid("scrape", "m.toml", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert f"bolid: error: {options[0]}" in done.stderr
