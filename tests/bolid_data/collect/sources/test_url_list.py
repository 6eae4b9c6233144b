"""Lists of addresses as programs and people write them: what can be read is crawled, the rest named by its line."""

import tracemalloc
from pathlib import Path

import duckdb
import pytest

from bolid_data.catalog import AddressList
from bolid_data.errors import BolidError, UsageError
from tests.bolid_data.collect.sources.test_gallery_site import rows
from tests.bolid_data.collect.test_hostile import fetch
from tests.support.gallery_site import Site, photo, serve

PAIRS = [("Ánna", "http://a.example/1.jpg"), ("Берта", "http://a.example/2.jpg")]
PLAIN = "person,url\n" + "".join(f"{person},{url}\n" for person, url in PAIRS)


def read(path: Path, encoding: str = "utf-8") -> tuple[list[tuple[str, str]], AddressList]:
    listing = AddressList(path, encoding)
    return [row for batch in listing.batches() for row in batch], listing


def write(folder: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    (folder / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return folder / "list.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_an_encoding_is_told_by_its_mark(encoding: str, tmp_path: Path) -> None:
    assert read(write(tmp_path, PLAIN, encoding))[0] == PAIRS


def test_another_encoding_is_named_by_the_manifest(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN.replace("Á", "А"), "cp1251")
    assert read(path, "cp1251")[0] == [("Аnna", PAIRS[0][1]), PAIRS[1]]
    with pytest.raises(
        UsageError, match=r"byte 11 \(0xc0\) is not valid utf-8; name the file's encoding in \[source\] encoding"
    ):
        read(path)
    far = write(tmp_path, PLAIN.encode() * 40_000 + b"\xff")
    with pytest.raises(UsageError, match=rf"byte {len(PLAIN.encode()) * 40_000} \(0xff\)"):
        read(far)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_usual_dialect_is_read(delimiter: str, end: str, tmp_path: Path) -> None:
    note = f'"two{end}lines, ""quoted"""'
    text = f"URL{delimiter} note {delimiter}Person{end}{PAIRS[0][1]}{delimiter}{note}{delimiter}Ánna{end}"
    assert read(write(tmp_path, text))[0] == PAIRS[:1]


def test_a_quoted_line_break_may_come_anywhere(tmp_path: Path) -> None:
    text = "person,url,note\n" + f"Anna,{PAIRS[0][1]},plain\n" * 50_000 + f'Anna,{PAIRS[1][1]},"two\nlines"\n'
    pairs, listing = read(write(tmp_path, text))
    assert len(pairs) == 50_001 and listing.bad.count == 0


def test_bad_rows_are_named_by_their_lines(tmp_path: Path) -> None:
    text = (
        PLAIN
        + 'Clara,http://a.example/0,w_8.jpg\nDora\n,http://a.example/3.jpg\n\n"Eve\n2",http://a.example/4.jpg\nFay, \n'
    )
    pairs, listing = read(write(tmp_path, text))
    assert pairs == [*PAIRS, ("Eve\n2", "http://a.example/4.jpg")]
    assert listing.bad.count == 4
    assert [line.partition(":")[0] for line in listing.bad.first] == ["line 4", "line 5", "line 6", "line 10"]
    assert "3 fields where the header has 2; quote fields with a ','" in listing.bad.first[0]


def test_good_rows_are_crawled_and_the_command_fails_at_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(Site({"anna": [photo(1)]})) as site:
        url = f"{site.base_url}/archive/anna/img/0.jpg"
        write(tmp_path, f"person,url\nAnna,{url}\n" + f"Anna,{site.base_url}/K/0,w_8.jpg\n" * 12)
        for _ in range(2):
            with pytest.raises(BolidError, match=r"12 rows of the list are invalid \(the first are shown above\)"):
                fetch(tmp_path)
        assert site.sent("/K") == [], "no half of a row is asked for"
    assert rows(tmp_path, "SELECT state FROM sightings") == [("stored",)]
    stderr = capsys.readouterr().err
    assert "line 3: 3 fields" in stderr and "line 12: 3 fields" in stderr and "line 13" not in stderr


def test_bad_rows_are_not_kept_in_mind(tmp_path: Path) -> None:
    path = write(tmp_path, "person,url\n" + "Anna,http://a.example/0,w_8.jpg\n" * 100_000)
    tracemalloc.start()
    _, listing = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert listing.bad.count == 100_000 and len(listing.bad.first) == 10
    assert peak < 3_000_000, "bytes; a hundred thousand rows would take more than ten times that"


def test_columns_of_bytes_are_text(tmp_path: Path) -> None:
    duckdb.sql(
        f"COPY (SELECT encode('Ánna') AS person, encode('{PAIRS[0][1]}') AS url UNION ALL SELECT NULL, NULL)"
        f" TO '{tmp_path}/list.parquet'"
    )
    pairs, listing = read(tmp_path / "list.parquet")
    assert (pairs, listing.bad.count) == (PAIRS[:1], 1)


def test_an_encoding_that_nobody_knows_is_bad_usage(tmp_path: Path) -> None:
    for name in ("utf-99", "hex", "rot13"):
        with pytest.raises(UsageError, match=r"source\.encoding: '.*' is not a text encoding"):
            fetch(tmp_path, f'encoding = "{name}"')
