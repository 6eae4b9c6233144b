import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from bolid_data import manifest as manifests
from bolid_data.collect.dry_run import count as run_dry
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from tests.support.gallery_site import photo


def manifest(folder: Path, more: str = "") -> manifests.Manifest:
    path = folder / "m.toml"
    path.write_text(f'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n{more}')
    return manifests.load(path)


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def sightings(dataset: Dataset) -> list[tuple[str, str, str | None]]:
    with dataset.catalog.open() as con:
        return con.execute("SELECT url, state, reason FROM sightings ORDER BY url").fetchall()


def test_a_folder_of_folders(tmp_path: Path) -> None:
    files = {"Ana B/1.jpg": photo(1), "Ana B/2019/2.jpg": photo(2), "tom/a.jpg": photo(1), "tom/note.txt": b"hello"}
    fill(tmp_path, files)
    dataset = Dataset(tmp_path / "data")
    stats = scrape(manifest(tmp_path), dataset)
    assert (stats["people"], stats["new"], stats["known"], stats["reasons"]) == (2, 2, 1, {"not_a_photo": 1})
    with dataset.catalog.open() as con:
        sightings = con.execute("SELECT person, url FROM sightings WHERE state = 'stored' ORDER BY url").fetchall()
    assert sightings == [("ana_b", "file:Ana B/1.jpg"), ("ana_b", "file:Ana B/2019/2.jpg"), ("tom", "file:tom/a.jpg")]
    assert len(list(dataset.store.files())) == 2, "the same bytes under two names are one photo"
    assert (tmp_path / "photos" / "tom" / "a.jpg").exists(), "a person's own files stay where they are"
    assert scrape(manifest(tmp_path), dataset)["known"] == 3


def photos_of(dataset: Dataset) -> dict[str, list[str]]:
    """The states of every photo in the attributions, by its sha256's first digits."""
    with dataset.catalog.open(read_only=True) as con:
        query = "SELECT sha256[:8], list(state ORDER BY state) FROM attributions WHERE sha256 IS NOT NULL GROUP BY ALL"
        return dict(con.execute(query).fetchall())


def short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def test_a_file_that_is_overwritten_is_another_photo_and_the_old_one_is_gone(tmp_path: Path) -> None:
    one, two = photo(1), photo(2)
    fill(tmp_path, {"ana/1.jpg": one, "ana/2.jpg": two})
    dataset = Dataset(tmp_path / "data")
    scrape(manifest(tmp_path), dataset)
    fill(tmp_path, {"ana/1.jpg": photo(3)})
    stats = scrape(manifest(tmp_path), dataset)
    assert (stats["new"], stats["known"], stats["gone"]) == (1, 1, 1)
    assert photos_of(dataset) == {short(one): ["gone"], short(two): ["stored"], short(photo(3)): ["stored"]}
    assert {row.reason for row in dataset.catalog.consent.withdrawn() if row.sha256[:8] == short(one)} == {"gone"}

    fill(tmp_path, {"ana/1.jpg": b"no photo any more", "ana/moved.jpg": one})
    scrape(manifest(tmp_path), dataset)
    assert photos_of(dataset)[short(photo(3))] == ["gone"]
    assert not [row for row in dataset.catalog.consent.withdrawn() if row.sha256[:8] == short(one)], "it is back"
    fill(tmp_path, {"ana/1.jpg": photo(3)})
    scrape(manifest(tmp_path), dataset)
    assert photos_of(dataset)[short(photo(3))] == ["stored"], "and what was no photo is read again"


def test_only_files_that_changed_are_read_again(tmp_path: Path) -> None:
    fill(tmp_path, {"ana/1.jpg": photo(1), "ana/2.jpg": photo(2), "ana/3.jpg": b"broken"})
    dataset = Dataset(tmp_path / "data")
    scrape(manifest(tmp_path), dataset)
    with dataset.catalog.open() as con:  # as earlier versions left it
        con.execute("UPDATE sightings SET etag = NULL WHERE url = 'file:ana/2.jpg'")
        before = con.execute("SELECT url, fetched_at FROM sightings").fetchall()
        con.execute("UPDATE sightings SET fetched_at = fetched_at - INTERVAL 1 DAY")
    os.utime(tmp_path / "photos" / "ana" / "1.jpg", (1, 1))
    assert scrape(manifest(tmp_path), dataset)["known"] == 3
    with dataset.catalog.open() as con:
        read = con.execute(
            "SELECT url FROM sightings WHERE fetched_at > now() - INTERVAL 1 HOUR ORDER BY url"
        ).fetchall()
    assert len(before) == 3
    assert read == [("file:ana/1.jpg",), ("file:ana/2.jpg",)]
    assert photos_of(dataset) == {short(photo(1)): ["stored"], short(photo(2)): ["stored"]}


@pytest.mark.parametrize(
    ("files", "message"),
    [({}, "no such folder"), ({"x.jpg": b""}, "no folders of people"), ({"A/1": b"", "a/1": b""}, "rename one")],
)
def test_folders_that_cannot_be_used(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    fill(tmp_path, files)
    with pytest.raises(UsageError, match=message):
        scrape(manifest(tmp_path), Dataset(tmp_path / "data"))


def test_photos_of_every_common_format_are_collected_however_deep(tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    formats = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF", "heic": "HEIF", "avif": "AVIF"}
    files = {}
    for index, (extension, name) in enumerate(formats.items()):
        out = io.BytesIO()
        Image.new("RGB", (64, 48), (40 * index, 0, 0)).save(out, name)
        files[f"Анна Петрова/2019/june/photo.{extension}"] = out.getvalue()
    fill(tmp_path, files)
    dataset = Dataset(tmp_path / "data")
    assert scrape(manifest(tmp_path), dataset)["new"] == 6
    with dataset.catalog.open() as con:
        assert con.execute("SELECT DISTINCT person, name FROM people").fetchall() == [("anna_petrova", "Анна Петрова")]
        rows = con.execute("SELECT format, width, height FROM photos").fetchall()
    assert sorted(rows) == sorted((name, 64, 48) for name in formats.values())
    assert {file.suffix[1:] for file in dataset.store.files()} == set(formats)


def test_hidden_files_and_what_windows_leaves_are_no_photos(tmp_path: Path) -> None:
    litter = ["ana/.DS_Store", "ana/Thumbs.db", "ana/2019/desktop.ini", "ana/.trash/2.jpg", "ana/._1.jpg", ".old/3.jpg"]
    fill(tmp_path, {"ana/1.jpg": photo(1)} | dict.fromkeys(litter, b"x"))
    stats = scrape(manifest(tmp_path), Dataset(tmp_path / "data"))
    assert (stats["people"], stats["new"], stats["reasons"]) == (1, 1, {})


def test_what_is_not_a_photo_is_listed_by_name_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiff = io.BytesIO()
    Image.new("RGB", (64, 48)).save(tiff, "TIFF")  # what a decoder sees in a RAW file: a thumbnail
    others = {"clip.MP4": b"x", "more.zip": b"PK", "raw.CR2": tiff.getvalue(), "notes.txt": b"x", "page.html": b"x"}
    captions = {"1.jpg": photo(1), "1.txt": b"a caption", "2.JPG": photo(2), "2.txt": b"a caption"}
    fill(tmp_path, {f"ana/{name}": data for name, data in (others | captions).items()})
    dataset = Dataset(tmp_path / "data")
    for known in (0, 2):
        stats = scrape(manifest(tmp_path), dataset)
        assert (stats["new"], stats["known"]) == (2 - known, known)
        lines = capsys.readouterr().err.splitlines()
        assert [line for line in lines if "not a photo" in line] == [
            "scrape: ana/raw.CR2: not a photo but a RAW file; export a JPEG or TIFF of it with your photo software",
            "scrape: ana/clip.MP4: not a photo but a video; save frames of it as JPEG to use them",
            "scrape: ana/more.zip: not a photo but an archive; unpack it into the folder of the person",
            "scrape: ana/notes.txt, ana/page.html: not a photo",
        ]
    assert ("file:ana/raw.CR2", "refused", "not_a_photo") in sightings(dataset)


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_photos_in_a_zip_archive_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = photo(1), photo(2), photo(3)
    inside = {"a/1.jpg": first, "2.JPG": second, "notes.txt": b"x", "__MACOSX/._2.JPG": b"x", "../4.jpg": photo(4)}
    fill(tmp_path, {"ana/more.zip": _zip(inside), "ana/3.jpg": third, "ana/broken.zip": b"PK no archive"})
    dataset = Dataset(tmp_path / "data")
    assert run_dry(manifest(tmp_path), dataset).new == 3
    stats = scrape(manifest(tmp_path), dataset)
    assert (stats["new"], stats["known"]) == (3, 0)
    stored = {url for url, state, _ in sightings(dataset) if state == "stored"}
    assert stored == {"file:ana/more.zip/2.JPG", "file:ana/more.zip/a/1.jpg", "file:ana/3.jpg"}
    assert "ana/broken.zip: not a photo but an archive; unpack it" in " ".join(capsys.readouterr().err.split())
    assert scrape(manifest(tmp_path), dataset)["known"] == 3
    # One photo leaves the archive, another is replaced.
    fill(tmp_path, {"ana/more.zip": _zip({"a/1.jpg": photo(5)})})
    assert scrape(manifest(tmp_path), dataset)["new"] == 1
    gone = {row.sha256 for row in dataset.catalog.consent.withdrawn() if row.reason == "gone"}
    assert gone == {hashlib.sha256(first).hexdigest(), hashlib.sha256(second).hexdigest()}


def test_a_bomb_and_a_damaged_photo_in_an_archive_are_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bolid_data.collect.sources.archives._MAX_BYTES", 1_000_000)
    data = bytearray(_zip({"bomb.jpg": bytes(50_000_000), "whole.jpg": photo(1)}))
    damaged = bytearray(_zip({"cut.jpg": photo(2)}, zipfile.ZIP_STORED))
    damaged[60] ^= 1
    fill(tmp_path, {"ana/one.zip": bytes(data), "ana/two.zip": bytes(damaged)})
    stats = scrape(manifest(tmp_path), Dataset(tmp_path / "data"))
    assert (stats["new"], stats["reasons"]) == (1, {"broken": 2})


def test_photos_that_belong_to_nobody_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loose = {f"IMG_{number}.jpg": photo(number) for number in range(7)}
    fill(tmp_path, {"ana/1.jpg": photo(9), "all.zip": b"PK"} | loose)
    assert scrape(manifest(tmp_path), Dataset(tmp_path / "data"))["new"] == 1
    told = capsys.readouterr().err
    assert "scrape: IMG_0.jpg, IMG_1.jpg, IMG_2.jpg, IMG_3.jpg, IMG_4.jpg and 2 more lie straight in" in told
    assert "belong to nobody; move them into a person's folder" in told
    assert "scrape: all.zip: not a photo but an archive; unpack it" in told


def test_a_folder_with_nothing_but_an_archive_says_to_unpack_it(tmp_path: Path) -> None:
    fill(tmp_path, {"photos.zip": b"PK"})
    with pytest.raises(UsageError, match=r"no folders of people in it, only photos\.zip;.*an archive; unpack it"):
        scrape(manifest(tmp_path), Dataset(tmp_path / "data"))


def test_links_are_taken_only_where_they_stay_inside(tmp_path: Path) -> None:
    fill(tmp_path, {"ana/1.jpg": photo(1), "../secret/2.jpg": photo(2)} | {"tom/3.jpg": photo(3)})
    ana = tmp_path / "photos" / "ana"
    (ana / "again.jpg").symlink_to(ana / "1.jpg")
    (ana / "folder").symlink_to(tmp_path / "photos" / "tom")
    (ana / "round").symlink_to(ana)
    (ana / "circle.jpg").symlink_to(ana / "circle.jpg")
    (ana / "nowhere.jpg").symlink_to(ana / "gone.jpg")
    (ana / "out.jpg").symlink_to(tmp_path / "secret" / "2.jpg")
    (tmp_path / "photos" / "eve").symlink_to(tmp_path / "secret")
    dataset = Dataset(tmp_path / "data")
    assert scrape(manifest(tmp_path), dataset)["people"] == 2
    assert sightings(dataset) == [
        ("file:ana/1.jpg", "stored", None),
        ("file:ana/again.jpg", "stored", None),
        ("file:ana/circle.jpg", "failed", "unreadable"),
        ("file:ana/nowhere.jpg", "failed", "unreadable"),
        ("file:ana/out.jpg", "refused", "outside"),
        ("file:tom/3.jpg", "stored", None),
    ]


def test_a_pipe_among_the_photos_is_passed_by(tmp_path: Path) -> None:
    fill(tmp_path, {"ana/1.jpg": photo(1)})
    os.mkfifo(tmp_path / "photos" / "ana" / "pipe.jpg")
    (tmp_path / "photos" / "ana" / "link.jpg").symlink_to("pipe.jpg")
    assert scrape(manifest(tmp_path), Dataset(tmp_path / "data"))["new"] == 1


@contextmanager
def nobody_else(folder: Path) -> Iterator[None]:
    """Root may read everything, so that tests of permissions run as somebody who may not."""
    if os.geteuid() != 0:
        yield
        return
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_recorded_and_tried_again() -> None:
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, which only its owner may enter
        folder = Path(name)
        fill(folder, {"ana/1.jpg": photo(1), "ana/2.jpg": photo(2), "ana/private/3.jpg": photo(3)})
        source = manifest(folder)
        closed = [folder / "photos" / "ana" / "2.jpg", folder / "photos" / "ana" / "private"]
        with nobody_else(folder):
            dataset = Dataset(folder / "data")
            for path in closed:
                path.chmod(0)
            assert scrape(source, dataset)["reasons"] == {"unreadable": 2}
            assert sightings(dataset) == [
                ("file:ana/1.jpg", "stored", None),
                ("file:ana/2.jpg", "failed", "unreadable"),
                ("file:ana/private", "failed", "unreadable"),
            ]
            for path in closed:
                path.chmod(0o700)
            stats = scrape(source, dataset)
            assert (stats["new"], stats["known"], stats["reasons"]) == (2, 1, {})
            (folder / "photos").chmod(0)
            with pytest.raises(UsageError, match="cannot be read"):
                scrape(source, dataset)
            (folder / "photos").chmod(0o700)


def test_names_of_odd_bytes_have_addresses_that_can_be_read_and_differ(tmp_path: Path) -> None:
    names = [b"caf\xe9", b"caf%E9", b"100%", b"a\nb\x1b[31m", "Ёлка é".encode(), "\u202e".encode()]
    ana = tmp_path / "photos" / os.fsdecode(b"Ana \xff")
    ana.mkdir(parents=True)
    for index, name in enumerate(names):
        (ana / os.fsdecode(name + b".jpg")).write_bytes(photo(index))
    dataset = Dataset(tmp_path / "data")
    assert scrape(manifest(tmp_path), dataset)["new"] == len(names)
    assert [url for url, _, _ in sightings(dataset)] == [
        "file:Ana %FF/%E2%80%AE.jpg",
        "file:Ana %FF/100%.jpg",
        "file:Ana %FF/a%0Ab%1B[31m.jpg",
        "file:Ana %FF/caf%25E9.jpg",
        "file:Ana %FF/caf%E9.jpg",
        "file:Ana %FF/Ёлка é.jpg",
    ]
    with dataset.catalog.open() as con:
        assert con.execute("SELECT person, name FROM people").fetchall() == [("ana", "Ana")]
    assert scrape(manifest(tmp_path), dataset)["known"] == len(names)
