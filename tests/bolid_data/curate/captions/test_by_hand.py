"""Captions that people write: in sidecar files, on the command line, and in folders of text files."""

import json
import shutil
import tarfile
from pathlib import Path

import duckdb
import pytest

from tests.support.commands import Done, bolid
from tests.support.photographs import write_folder

MATCH, TURNED, STREET = "zidane/match.jpg", "zidane/turned.jpg", "bus/street.png"


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three photographs, and the dataset of it as `bolid filter` leaves it."""
    home = tmp_path_factory.mktemp("filtered")
    write_folder(home)
    for command in ("scrape", "filter"):
        assert run(home, command).returncode == 0
    return home


@pytest.fixture
def home(filtered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filtered, tmp_path / "home"))


def run(home: Path, command: str, *options: str | Path) -> Done:
    return bolid(command, "photos.toml", *options, "--data", "data", cwd=home)


def done(home: Path, command: str, *options: str | Path) -> Done:
    result = run(home, command, *options)
    assert result.returncode == 0, result.stderr
    return result


def rows(home: Path, query: str) -> list[tuple]:
    with duckdb.connect(home / "data" / "catalog.duckdb", read_only=True) as con:
        return con.execute(query).fetchall()


def captions(home: Path) -> dict[tuple[str, str], str]:
    """Captions by file and author; of a model, its name."""
    found = rows(home, "SELECT url, model, caption FROM captions JOIN sightings USING (sha256)")
    return {(url.removeprefix("file:"), author.partition("@")[0]): text for url, author, text in found}


def authors(home: Path) -> set[tuple[str, str]]:
    return set(captions(home))


def sharded(home: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """The captions of the shards' photos, by file: the one in the tar, and the others in the index."""
    assert run(home, "shard").returncode == 0
    texts = {}
    for tar in (home / "data" / "shards").glob("*.tar"):
        with tarfile.open(tar) as members:
            for member in members:
                if member.name.endswith(".txt") and (file := members.extractfile(member)):
                    texts[member.name.removesuffix(".txt")] = file.read().decode()
    with duckdb.connect(home / "data" / "shards" / "index.duckdb", read_only=True) as con:
        found = con.execute("SELECT key, url, caption, captions FROM samples JOIN sources USING (sha256)").fetchall()
    assert {key: caption for key, _, caption, _ in found} == texts
    return {url.removeprefix("file:"): (texts[key], others) for key, url, _, others in found}


def write(home: Path, file: str, text: str | bytes) -> Path:
    path = home / "photos" / file
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def change(home: Path, old: str, new: str) -> None:
    manifest = home / "photos.toml"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))


def test_a_caption_by_hand_wins_and_survives(home: Path) -> None:
    done(home, "caption")
    told = done(home, "caption", "--set", MATCH, "two men\n at a match", "--json")
    assert json.loads(told.stdout)["caption"] == "two men at a match"
    assert told.stderr.splitlines()[-1].startswith("next: bolid shard photos.toml --data data")
    change(home, 'caption = "describe"', 'caption = "tiny-blip2"')
    done(home, "caption")
    assert captions(home)[MATCH, "hand"] == "two men at a match"
    assert {(MATCH, "describe"), (STREET, "describe"), (STREET, "tiny-blip2")} <= authors(home)
    assert (MATCH, "tiny-blip2") not in authors(home), "a photo captioned by hand is not left to the model"
    text, others = sharded(home)[MATCH]
    assert text == "two men at a match"
    assert [name.partition("@")[0] for name in others] == ["describe"]
    assert sharded(home)[STREET][0] == captions(home)[STREET, "tiny-blip2"]
    done(home, "caption", "--set", "match.jpg", "")
    assert (MATCH, "hand") not in authors(home)
    assert "1 kept photo has no caption" in run(home, "shard").stderr
    done(home, "caption")
    assert sharded(home)[MATCH][0] == captions(home)[MATCH, "tiny-blip2"]


def test_sidecar_files_are_captions(home: Path) -> None:
    write(home, "zidane/match.txt", "\ufefftwo men,\nred and white shirts\n")
    write(home, "zidane/match.tags.txt", "2boys, football")
    write(home, "bus/street.TXT", "a street")
    write(home, "bus/unrelated.txt", "not beside a photo")
    said = done(home, "scrape").stderr
    assert "3 new" in said
    named = rows(home, "SELECT prompt, caption FROM captioned WHERE model = 'sidecar' ORDER BY ALL")
    assert named == [("", "a street"), ("", "two men, red and white shirts"), ("tags", "2boys, football")]
    assert rows(home, "SELECT url FROM sightings WHERE url LIKE '%.txt'") == [("file:bus/unrelated.txt",)]
    done(home, "caption")
    assert {file for file, author in authors(home) if author == "describe"} == {TURNED}
    assert sharded(home)[MATCH] == ("two men, red and white shirts", {"sidecar: tags": "2boys, football"})
    change(home, "[shards]", '[caption]\nuse = "tags"\n[shards]')
    assert "2 kept photos without a caption named 'tags'" in done(home, "caption").stderr
    assert sharded(home)[MATCH] == ("2boys, football", {"sidecar": "two men, red and white shirts"})
    assert sharded(home)[STREET][0] == "a street"
    done(home, "caption", "--set", MATCH, "by hand")
    assert sharded(home)[MATCH][0] == "by hand", "it is one of the tags, as the manifest uses these"
    told = done(home, "explain", MATCH).stdout
    assert "caption by hand (tags), in use: by hand" in told
    assert "caption by sidecar: two men" in told


def test_changes_of_sidecar_files_are_noticed(home: Path) -> None:
    match, street = write(home, "zidane/match.txt", "one"), write(home, "bus/street.txt", "a street")
    done(home, "scrape")
    assert "captions in" not in done(home, "scrape").stderr
    match.write_text("another")
    street.unlink()
    assert "1 changed, 1 removed" in done(home, "scrape").stderr
    assert captions(home) == {(MATCH, "sidecar"): "another"}
    match.write_bytes(b"\xff\xfe")
    assert "zidane/match.txt: is not UTF-8 text" in done(home, "scrape").stderr
    assert captions(home) == {(MATCH, "sidecar"): "another"}, "what cannot be read changes nothing"
    match.write_text("")
    done(home, "scrape")
    assert captions(home) == {}


def test_a_folder_with_all_captions_needs_no_model(home: Path) -> None:
    for file in (MATCH, TURNED, STREET):
        write(home, f"{file[:-4]}.txt", f"a photo of {file}")
    change(home, 'caption = "describe"', 'caption = "nobody/has-this-model"')
    done(home, "scrape")
    assert "no model is needed" in done(home, "caption").stderr
    assert sharded(home)[STREET] == ("a photo of bus/street.png", {})
    assert run(home, "verify").returncode == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"caf\xe9", "is not UTF-8 text"),
        (b"red \x1b[2J", "has control characters"),
        (b"long " * 20_000, "is longer than 20000 characters"),
        (None, "is a link that leads out of"),
    ],
)
def test_a_strangers_sidecar_is_checked(home: Path, content: bytes | None, problem: str) -> None:
    if content is None:
        (home / "secret").write_text("a password")
        (home / "photos" / "zidane" / "match.txt").symlink_to(home / "secret")
    else:
        write(home, "zidane/match.txt", content)
    write(home, "bus/street.txt", "a street")
    assert problem in done(home, "scrape").stderr
    assert captions(home) == {(STREET, "sidecar"): "a street"}


def test_captions_are_exported_edited_and_imported(home: Path) -> None:
    done(home, "caption")
    before = captions(home)
    folder = home / "texts"
    done(home, "caption", "--export", folder)
    files = {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}
    assert files == {f"{file[:-4]}.txt": f"{text}\n" for (file, _), text in before.items()}
    told = done(home, "caption", "--import", folder, "--json")
    assert json.loads(told.stdout) == {"imported": 0, "unchanged": 3, "unmatched": 0}
    assert captions(home) == before, "a round trip changes nothing"
    (folder / "zidane" / "match.txt").write_text("edited")
    (folder / "zidane" / "match.short.txt").write_text("short")
    (folder / "nobody.txt").write_text("?")
    assert "--import` takes it over" in run(home, "caption", "--export", folder).stderr
    told = done(home, "caption", "--import", folder, "--json")
    assert json.loads(told.stdout) == {"imported": 2, "unchanged": 2, "unmatched": 1}
    assert "nobody.txt: belongs to no photo" in told.stderr
    text, others = sharded(home)[MATCH]
    assert (text, others["hand: short"]) == ("edited", "short")
    done(home, "caption", "--export", folder)
    done(home, "caption", "--export", home / "short", "--name", "short")
    assert [file.read_text() for file in (home / "short").rglob("*.txt")] == ["short\n"]


def test_a_file_named_by_sha256_is_imported(home: Path) -> None:
    ((sha256,),) = rows(home, f"SELECT sha256 FROM sightings WHERE url = 'file:{STREET}'")
    (home / "texts").mkdir()
    (home / "texts" / f"bus-{sha256[:16]}.txt").write_text("from a trainer's folder")
    done(home, "caption", "--import", home / "texts")
    assert captions(home) == {(STREET, "hand"): "from a trainer's folder"}


def test_photos_of_the_same_name_are_not_confused(home: Path) -> None:
    shutil.copyfile(home / "photos" / STREET, home / "photos" / "zidane" / "match.png")
    change(home, "max_watermark", "max_hamming_between = false\nmax_watermark")
    done(home, "scrape")
    done(home, "filter")
    done(home, "caption", "--set", "match.jpg", "the match")
    done(home, "caption", "--set", "match.png", "the street")
    done(home, "caption", "--export", home / "texts")
    assert not (home / "texts" / "zidane" / "match.txt").exists()
    done(home, "caption", "--set", "match.jpg", "")
    done(home, "caption", "--import", home / "texts")
    assert captions(home)[MATCH, "hand"] == "the match"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "nobody.jpg", "text"), "no photo of this dataset"),
        (("--set", MATCH, "a\x1bb"), "the caption has control characters"),
        (("--import", "missing"), "no such folder"),
        (("--import", "a", "--export", "b"), "one at a time"),
        (("--set", MATCH, "text", "--name", "Two Words"), "made of"),
        (("--name", "tags"), "belongs to --set"),
    ],
)
def test_wrong_usage_is_an_error(home: Path, options: tuple[str, ...], message: str) -> None:
    failed = run(home, "caption", *options)
    assert failed.returncode == 2
    assert message in failed.stderr


def test_the_trigger_word_stands_in_front(home: Path) -> None:
    done(home, "caption", "--set", MATCH, "photo of ohwx, a man")
    done(home, "caption", "--set", STREET, "a street")
    change(home, "[shards]", '[caption]\ntrigger = "ohwx"\n[shards]')
    done(home, "caption")
    captioned = sharded(home)
    assert captioned[STREET][0] == "ohwx, a street"
    assert captioned[MATCH][0] == "photo of ohwx, a man", "it has the word already"
    assert "ohwx" not in captions(home)[STREET, "hand"]
    assert run(home, "verify").returncode == 0
    again = bolid("rebuild", "data/dataset.lock.json", "--folder", "photos", "--data", "again", "--json", cwd=home)
    assert json.loads(again.stdout)["problem"] is None
    for tar in (home / "data" / "shards").glob("*.tar"):
        assert (home / "again" / "shards" / tar.name).read_bytes() == tar.read_bytes()


def test_captions_by_people_are_in_the_lock_and_come_back(home: Path) -> None:
    write(home, "bus/street.txt", "a street")
    done(home, "scrape")
    done(home, "caption", "--set", MATCH, "two men")
    done(home, "caption")
    before = captions(home)
    assert (STREET, "sidecar") in before
    sharded(home)
    (home / "data" / "catalog.duckdb").unlink()
    done(home, "repair")
    assert captions(home) == before
    bolid("rebuild", "data/dataset.lock.json", "--folder", "photos", "--data", "again", cwd=home)
    with duckdb.connect(home / "again" / "catalog.duckdb", read_only=True) as con:
        found = con.execute("SELECT model, caption FROM captions WHERE model IN ('hand', 'sidecar')").fetchall()
    assert sorted(found) == [("hand", "two men"), ("sidecar", "a street")]


def test_a_forgotten_persons_captions_are_gone(home: Path) -> None:
    write(home, "zidane/turned.txt", "Zinedine on the left")
    done(home, "scrape")
    done(home, "caption", "--set", MATCH, "Zinedine on the right")
    done(home, "caption")
    sharded(home)
    done(home, "forget", "zidane", "--yes")
    assert {file for file, _ in authors(home)} == {STREET}
    for file in (home / "data").rglob("*"):
        assert not file.is_file() or b"Zinedine" not in file.read_bytes(), file
    done(home, "scrape")
    assert {file for file, _ in authors(home)} == {STREET}, "a later crawl does not bring them back"
