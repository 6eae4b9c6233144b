"""`bolid publish`: what a dataset's repository holds, what is refused, and what reaches a hub over HTTP."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import yaml

from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.lockfile import ShardRecipe, read_lock
from bolid_data.manifest import load
from bolid_data.shard_index import ShardIndex
from bolid_data.shards import forget as forgetting
from bolid_data.shards.lock import verify
from bolid_data.shards.rebuild import import_measurements
from bolid_data.shards.write import write_shards
from tests.support.commands import Done, bolid
from tests.support.hub import Hub, serve, visit
from tests.support.published_dataset import CONSENT, write_manifest

FILES = {
    "README.md", "croissant.json", "samples.parquet", "dataset.lock.json", "measurements.parquet",
    "shards/index.duckdb", "shards/train-000000.tar", "shards/val-000000.tar",
}  # fmt: skip
LOCK = {"dataset.lock.json", "measurements.parquet", "shards/index.duckdb"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve(Hub({})) as hub:
        visit(hub, tmp_path / "cache", monkeypatch)
        yield hub


def publish(home: Path, *options: str | Path) -> Done:
    return bolid("publish", "m.toml", "me/mine", *options, "--data", "data", cwd=home)


def shard(home: Path) -> None:
    assert bolid("shard", "m.toml", "--data", "data", cwd=home).returncode == 0


def names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def card(folder: Path) -> tuple[dict, str]:
    _, header, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(header), text


def test_a_dry_run_writes_the_repository_and_no_more(home: Path) -> None:
    done = publish(home, "--dry-run", "out", "--json")
    assert done.returncode == 0, done.stderr
    assert names(home / "out") == FILES
    assert json.loads(done.stdout)["files"].keys() == FILES
    for name in FILES - {"README.md", "croissant.json", "samples.parquet"}:
        assert (home / "out" / name).read_bytes() == (home / "data" / name).read_bytes()


def test_without_the_lock_no_address_and_no_name_leaves(home: Path) -> None:
    assert publish(home, "--dry-run", "out", "--without-lock").returncode == 0
    assert names(home / "out") == FILES - LOCK
    content = b"".join(path.read_bytes() for path in (home / "out").rglob("*") if path.is_file())
    assert b"a.example" not in content
    assert b"a.example" in (home / "data" / "dataset.lock.json").read_bytes()


def test_a_dry_run_refuses_a_folder_with_anything_in_it_and_the_dataset_s_own(home: Path) -> None:
    (home / "out").mkdir()
    (home / "out" / "mine.txt").write_text("mine")
    assert publish(home, "--dry-run", "out").returncode == 2
    assert names(home / "out") == {"mine.txt"}
    done = publish(home, "--dry-run", "data/out")
    assert (done.returncode, "inside the dataset" in done.stderr) == (2, True)


def test_the_card_tells_who_is_in_it_and_on_what_basis(home: Path) -> None:
    write_manifest(home, CONSENT + '[consent.people.berta]\nbasis = "contract"\nuntil = 2099-01-31\n')
    shard(home)
    assert publish(home, "--dry-run", "out", "--licence", "cc-by-4.0").returncode == 0
    header, text = card(home / "out")
    assert header["license"] == "cc-by-4.0"
    assert header["configs"][0]["data_files"] == [
        {"split": "train", "path": "shards/train-*.tar"}, {"split": "val", "path": "shards/val-*.tar"},
    ]  # fmt: skip
    assert "| `anna` | `train` | 3 | consent | the data protection officer | 2100-12-31 |" in text
    assert "| `berta` | `train` | 3 | contract | the data protection officer | 2099-01-31 |" in text
    assert "| `carl` | `val` | 3 |" in text
    assert "Write to mailto:me\\@example.org" in text
    assert hashlib.sha256((home / "data" / "dataset.lock.json").read_bytes()).hexdigest() in text


def test_nothing_in_the_manifest_breaks_the_card(home: Path) -> None:
    hostile = "| a | <script>alert(1)</script> ![x](https://evil.example/x.png) `**b** # --- www.evil.example"
    write_manifest(home, f"[consent]\nbasis = {json.dumps(hostile)}\nby = {json.dumps('---')}\n")
    shard(home)
    assert publish(home, "--dry-run", "out").returncode == 0
    header, text = card(home / "out")
    assert header["license"] == "other"
    rows = [line for line in text.splitlines() if line.startswith("| `anna`")]
    assert [len(row.replace("\\|", "").split("|")) for row in rows] == [8]
    unescaped = re.sub(r"\\.", "", rows[0])
    assert not re.search(r"[<>\[\]!*#]|https://|www\.", unescaped)
    assert json.loads((home / "out" / "croissant.json").read_text(encoding="utf-8"))["name"] == "mine"


@pytest.mark.parametrize(
    ("consent", "refused"),
    [
        ("", {"anna": "no basis is recorded", "berta": "no basis is recorded", "carl": "no basis is recorded"}),
        ('[consent.people.anna]\nbasis = "consent"\n[consent.people.carl]\nbasis = "contract"\n',
         {"berta": "no basis is recorded"}),
        (CONSENT + '[consent.people.carl]\nuntil = 2020-01-01\n', {"carl": "the basis ran out on 2020-01-01"}),
        (CONSENT + '[consent.people.anna]\nbasis = ""\n', {"anna": "no basis is recorded"}),
    ],
)  # fmt: skip
def test_people_without_a_valid_basis_are_refused_by_name(home: Path, consent: str, refused: dict[str, str]) -> None:
    write_manifest(home, consent)
    shard(home)
    done = publish(home, "--dry-run", "out", "--json")
    assert (done.returncode, json.loads(done.stdout)["refused"]) == (1, refused)
    assert "[consent]" in done.stderr
    assert not (home / "out").exists()


def test_a_basis_that_changed_since_the_lock_is_recorded_first(home: Path) -> None:
    tars = {path.name: path.read_bytes() for path in (home / "data" / "shards").glob("*.tar")}
    write_manifest(home, CONSENT.replace("2100", "2101"))
    done = publish(home, "--dry-run", "out")
    assert (done.returncode, "bolid shard" in done.stderr) == (2, True)
    shard(home)
    assert publish(home, "--dry-run", "out").returncode == 0
    assert tars == {path.name: path.read_bytes() for path in (home / "data" / "shards").glob("*.tar")}


def test_what_was_decided_or_withdrawn_since_is_refused(home: Path) -> None:
    dataset = Dataset(home / "data")
    sha256 = read_lock(dataset.lock).photos[0].sha256
    assert bolid("reject", "m.toml", sha256[:12], "--why", "no", "--data", "data", cwd=home).returncode == 0
    done = publish(home, "--dry-run", "out")
    assert (done.returncode, "stale" in done.stderr) == (1, True)
    assert not (home / "out").exists()


def test_an_opt_out_is_refused_also_of_a_photo_that_only_the_lock_has(home: Path) -> None:
    dataset = Dataset(home / "data")
    photo = read_lock(dataset.lock).photos[0].sightings[0]
    with dataset.catalog.open() as con:
        con.execute("UPDATE sightings SET state = 'opted_out', reason = 'opted_out' WHERE url = ?", [photo.url])
    assert publish(home, "--dry-run", "out").returncode == 1


def test_a_tar_that_was_changed_is_refused(home: Path) -> None:
    with (home / "data" / "shards" / "val-000000.tar").open("r+b") as tar:
        tar.seek(600)
        tar.write(b"changed")
    done = publish(home, "--dry-run", "out")
    assert (done.returncode, "val-000000.tar: changed" in done.stderr) == (1, True)


def test_without_a_terminal_it_needs_yes(home: Path, hub: Hub) -> None:
    done = publish(home)
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    assert not hub.requests


def test_it_uploads_the_same_files_in_one_commit_to_a_private_repository(home: Path, hub: Hub) -> None:
    assert publish(home, "--dry-run", "out").returncode == 0
    done = publish(home, "--yes")
    assert done.returncode == 0, done.stderr
    assert "shards/train-000000.tar" in done.stdout  # the list
    assert hub.private == {"me/mine"}
    uploaded = hub.models["me/mine"]["main"]
    assert uploaded == {name: (home / "out" / name).read_bytes() for name in FILES}
    assert len(hub.commits) == 1


def test_what_is_no_longer_in_the_dataset_leaves_the_repository(home: Path, hub: Hub) -> None:
    assert publish(home, "--yes").returncode == 0
    dataset = Dataset(home / "data")
    trace = forgetting.find(dataset, "carl")
    assert trace
    with dataset.working():
        found = forgetting.forget(dataset, trace)
    assert found["exports"]["elsewhere"] == [f"{hub.url}/datasets/me/mine"]
    assert publish(home, "--yes").returncode == 0
    assert hub.models["me/mine"]["main"].keys() == FILES - {"shards/val-000000.tar"}
    assert ("deletedFile", "shards/val-000000.tar") in hub.commits[1]
    assert b"carl" not in b"".join(hub.models["me/mine"]["main"].values())


def test_public_is_asked_for_and_an_existing_repository_keeps_its_visibility(home: Path, hub: Hub) -> None:
    assert publish(home, "--yes", "--public").returncode == 0
    assert not hub.private
    done = publish(home, "--yes")
    assert (done.returncode, "is public" in done.stderr) == (2, True)
    assert len(hub.commits) == 1


def test_a_refusal_of_the_hub_is_one_line(home: Path, hub: Hub) -> None:
    hub.refused = "you may not write here"
    done = publish(home, "--yes")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("bolid: error: me/mine: ")
    assert "you may not write here" in done.stderr


def test_a_hub_that_cannot_be_reached_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serve(Hub({})) as hub:
        visit(hub, tmp_path / "cache", monkeypatch)
    done = publish(home, "--yes")
    assert done.returncode == 1
    assert f"me/mine: cannot be published to {hub.url}: " in done.stderr and "unexpected" not in done.stderr


@pytest.mark.parametrize("name", ["mine", "../mine", "a/b/c", "me/mine?x", "me/"])
def test_a_name_that_no_repository_has(home: Path, name: str) -> None:
    done = bolid("publish", "m.toml", name, "--dry-run", "out", "--data", "data", cwd=home)
    assert (done.returncode, "OWNER/NAME" in done.stderr) == (2, True)


def test_a_rebuilt_lock_keeps_what_is_recorded_and_forget_removes_it(home: Path) -> None:
    dataset = Dataset(home / "data")
    lock = read_lock(dataset.lock)
    assert {row.person: row.consent and row.consent.basis for row in lock.people} == dict.fromkeys(
        ("anna", "berta", "carl"), "consent"
    )
    before = dataset.lock.read_bytes()
    import_measurements(lock, dataset.catalog)
    write_shards(ShardRecipe.from_origin(lock), dataset, None)
    assert read_lock(dataset.lock).people == lock.people
    assert json.loads(dataset.lock.read_bytes())["people"] == json.loads(before)["people"]
    trace = forgetting.find(dataset, "carl")
    assert trace
    forgetting.forget(dataset, trace)
    assert [row.person for row in read_lock(dataset.lock).people] == ["anna", "berta"]
    assert not verify(dataset)
    assert (
        load(home / "m.toml").consent.of("anna").recorded()
        == json.loads(dataset.lock.read_bytes())["people"][0]["consent"]
    )


def test_an_index_cannot_have_another_file_published(home: Path) -> None:
    """A view may read the file only where that is allowed, so that the digest is as the lock pins it."""
    (home / "secret.txt").write_text("a secret")
    with duckdb.connect(home / "data" / "shards" / "index.duckdb") as con:
        con.execute("ALTER TABLE samples RENAME TO real_samples")
        con.execute(
            f"""CREATE VIEW samples AS SELECT * REPLACE (CASE WHEN current_setting('enable_external_access') OR
            current_setting('allowed_paths') <> [] THEN (SELECT content FROM read_text('{home}/secret.txt'))
            ELSE caption END AS caption) FROM real_samples"""
        )
    assert publish(home, "--dry-run", "out").returncode == 1  # it is not what the lock pins
    with pytest.raises(UsageError):
        ShardIndex(home / "data" / "shards" / "index.duckdb").write_samples(home / "table.parquet")
    assert not (home / "out").exists()
    assert not (home / "table.parquet").exists()


@pytest.mark.skipif(os.name != "posix", reason="hard links")
def test_a_dry_run_does_not_copy_the_tars(home: Path) -> None:
    assert publish(home, "--dry-run", "out").returncode == 0
    assert (home / "out/shards/val-000000.tar").samefile(home / "data/shards/val-000000.tar")
    assert not (home / "out/dataset.lock.json").samefile(home / "data/dataset.lock.json")
