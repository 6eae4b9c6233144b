"""The list of all photos: the same verdicts, reasons and margins as `explain`, by a number of queries that does not
grow."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from bolid_data.catalog import Catalog
from bolid_data.curate.judge import Wanted, explain, export_photos, list_photos
from bolid_data.errors import UsageError
from bolid_data.records import Sighting
from bolid_data.report import photo_list
from tests.support.measured_dataset import CAPTIONER, World

EVERYTHING = Wanted()


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "data")
    kept = world.photo(phash=1, width=1300)
    world.photo(watermark=0.75)
    world.photo(width=900, people=(0.9, 0.8))
    world.photo(phash=1)
    world.photo("berta", visible=4)
    world.photo("berta", measured=False)
    world.judge()
    captions = world.dataset.catalog.captions
    captions.choose_captioner(CAPTIONER, "")
    captions.record_captions(CAPTIONER.id, "", {kept: "a person, in red"})
    return world


def rows(world: World, wanted: Wanted = EVERYTHING) -> dict[str, dict[str, Any]]:
    return {
        photo["file"].removeprefix("https://a.example/"): photo for photo in list_photos(world.dataset.catalog, wanted)
    }


def test_every_photo_is_listed_with_what_explain_says(world: World) -> None:
    listed = rows(world)
    assert list(listed) == [f"anna/{n}.jpg" for n in (1, 2, 3, 4)] + ["berta/5.jpg", "berta/6.jpg"]
    assert listed["anna/1.jpg"]["caption"] == "a person, in red"
    assert {file: (photo["kept"], photo["reasons"]) for file, photo in listed.items()} == {
        "anna/1.jpg": (True, []),
        "anna/2.jpg": (False, ["watermarked"]),
        "anna/3.jpg": (False, ["too_small", "several_people"]),
        "anna/4.jpg": (False, ["duplicate"]),
        "berta/5.jpg": (False, ["few_keypoints"]),
        "berta/6.jpg": (None, []),
    }
    assert listed["anna/2.jpg"]["margins"]["watermarked"] == pytest.approx(-0.25)
    assert listed["anna/3.jpg"]["margins"]["too_small"] == -100
    for photo in listed.values():
        nearest: dict[str, float] = {}
        for rule in explain(world.dataset.catalog, photo["sha256"])["rules"]:
            if rule["margin"] is not None and rule["threshold"] not in ("one_name", "no_opt_out", "not_gone"):
                nearest[rule["reason"]] = min(rule["margin"], nearest.get(rule["reason"], rule["margin"]))
        assert photo["margins"] == pytest.approx(nearest), photo["file"]


@pytest.mark.parametrize(
    ("wanted", "files"),
    [
        (Wanted(people=["berta"]), ["berta/5.jpg", "berta/6.jpg"]),
        (Wanted(reasons=["too_small", "duplicate"]), ["anna/3.jpg", "anna/4.jpg"]),
        (Wanted(people=["berta"], reasons=["duplicate"]), []),
        (Wanted(kept=True), ["anna/1.jpg"]),
        (Wanted(people=["berta"], kept=False), ["berta/5.jpg", "berta/6.jpg"]),
    ],
)
def test_a_part_of_them(world: World, wanted: Wanted, files: list[str]) -> None:
    everything = rows(world)
    assert rows(world, wanted) == {file: everything[file] for file in files}


def test_what_there_is_none_of_is_a_clear_error(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--reason tall: no such reason; there are broken"):
        Wanted(reasons=["tall"])
    with pytest.raises(UsageError, match="--person cleo: nobody has this slug"):
        rows(world, Wanted(people=["cleo"]))
    with pytest.raises(UsageError, match=r"ends in neither \.csv nor \.parquet"):
        export_photos(world.dataset.catalog, Wanted(), tmp_path / "list.xlsx")


def test_files_are_read_by_others(world: World, tmp_path: Path) -> None:
    listed = rows(world)
    export_photos(world.dataset.catalog, Wanted(), tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["sha256"] for row in table] == [photo["sha256"] for photo in listed.values()]
    assert table[0]["caption"] == "a person, in red"
    assert (table[2]["reasons"], table[2]["kept"], float(table[2]["margin_too_small"])) == (
        "too_small several_people", "false", -100,
    )  # fmt: skip
    assert (table[5]["kept"], table[5]["reasons"]) == ("", "")
    export_photos(world.dataset.catalog, Wanted(people=["anna"]), tmp_path / "list.parquet")
    records = pq.read_table(tmp_path / "list.parquet").to_pylist()
    assert [(row["kept"], row["reasons"]) for row in records] == [
        (photo["kept"], photo["reasons"]) for photo in listed.values() if photo["person"] == "anna"
    ]
    assert records[1]["margin_watermarked"] == pytest.approx(-0.25)


def test_before_anything_is_judged_they_are_listed_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    sha256 = world.photo()
    (photo,) = list_photos(world.dataset.catalog, Wanted())
    assert photo == {
        "person": "anna", "sha256": sha256, "file": "https://a.example/anna/1.jpg", "kept": None, "reasons": [],
        "caption": None, "margins": {},
    }  # fmt: skip


def test_a_photo_of_several_files_is_shown_by_one_that_is_there(world: World) -> None:
    (photo,) = rows(world, Wanted(kept=True)).values()
    gone = Sighting("file:anna/0.jpg", "anna", "file:anna/0.jpg", "gone", photo["sha256"])
    there = Sighting("file:anna/9.jpg", "anna", "file:anna/9.jpg", "stored", photo["sha256"])
    world.dataset.catalog.sightings.record(sightings=[gone, there])
    assert list(rows(world, Wanted(kept=True))) == ["anna/9.jpg"]


def test_the_number_of_queries_does_not_grow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    few, number_of_few = queries(world.dataset.catalog, monkeypatch)
    with world.dataset.catalog.open() as con:
        con.execute("CREATE TEMP TABLE n AS SELECT i, sha256(i::VARCHAR) AS sha256 FROM range(5000) t(i)")
        con.execute("INSERT INTO photos SELECT sha256, 'JPEG', 900 + i % 200, 1000, 5, '' FROM n")
        con.execute(
            """INSERT INTO sightings BY NAME SELECT 'https://a.example/cleo/' || i AS url, 'cleo' AS person, sha256,
               'stored' AS state FROM n"""
        )
    world.judge()
    many, number_of_many = queries(world.dataset.catalog, monkeypatch)
    assert (number_of_few, number_of_many) == (6, 5006)
    assert many == few


def queries(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The numbers of queries and of photos of one list."""

    class Counting:
        count = 0

        def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
            self._con = con

        def execute(self, *arguments: Any) -> Any:
            Counting.count += 1
            return self._con.execute(*arguments)

    opened = catalog.open

    @contextmanager
    def counting(*arguments: Any, **options: Any) -> Iterator[Any]:
        with opened(*arguments, **options) as con:
            yield Counting(con)

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "open", counting)
        photos = sum(1 for _ in list_photos(catalog, Wanted()))
    return Counting.count, photos


def test_on_the_terminal_it_is_cut_and_as_json_it_is_one_object(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = list(list_photos(world.dataset.catalog, Wanted()))
    photo_list.print_photos_as_json(photos)
    assert json.loads(capsys.readouterr().out) == {"photos": photos}
    photo_list.print_photos_as_json([])
    assert json.loads(capsys.readouterr().out) == {"photos": []}
    photo_list.print_photos(photos[:2], len(photos))
    text = capsys.readouterr().out
    assert "2 photos of 6; narrow them down" in text
    photo_list.print_photos([photos[1] | {"caption": "\x1b[2J[red]"}], 1)
    text = capsys.readouterr().out
    assert "\x1b" not in text and "-0.25" in text
