"""A catalog of a million photos: the time to judge, count and explain them; and `bolid status` of 20,000 people.

The measurements are random; only the catalog exists. Times are measured in a running process, including opening the
catalog; memory is the peak of a process of its own, against the limit that it must keep to.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.memory import peak_memory
from benchmarks.rows import ROUNDS
from bolid_data.catalog import Catalog
from bolid_data.curate import judge
from bolid_data.manifest import Filter

PHOTOS, EACH = 1_000_000, 500
MANY_PEOPLE, EACH_OF_MANY = 20_000, 20
MEMORY_LIMIT = 1536  # MiB
STATUS_LIMIT = 1.0  # seconds
MODELS = judge.ModelIds("pose@1", "face@1", "watermark@1", "phash@1", "quality@1")

_RANDOM = """
CREATE TEMP TABLE drawn AS
SELECT i, sha256(i::VARCHAR) AS sha256, 'person_' || (i // {each}) AS person, hash(i) AS lot,
    (hash(i, 1) % 10000) / 10000 AS a, (hash(i, 2) % 10000) / 10000 AS b, (hash(i, 3) % 10000) / 10000 AS c
FROM range({photos}) photos(i)
"""

_TABLES = {
    "people": """SELECT DISTINCT person, person AS name, 'https://a.example/' || person AS url, 500 AS listed_photos,
        'listed' AS state FROM drawn""",
    "photos": """SELECT sha256, 'JPEG' AS format, (CASE WHEN a < 0.05 THEN 800 ELSE 1200 + (b * 800)::INT END) AS width,
        1600 AS height, 300000 + (c * 100000)::INT AS bytes FROM drawn""",
    "sightings": """SELECT 'https://a.example/' || person || '/' || i || '.jpg' AS url, person, sha256,
        'https://a.example/' || person || '/' || i AS page_url, 'stored' AS state, 200 AS http_status,
        TIMESTAMP '2026-01-01' AS fetched_at, 'allowed' AS consent FROM drawn
        UNION ALL SELECT 'https://a.example/other/' || i || '.jpg', 'person_' || ((i // {each} + 7) % {people}), sha256,
        NULL, 'stored', 200, TIMESTAMP '2026-01-01', 'allowed' FROM drawn WHERE b < 0.005""",
    "models": "SELECT unnest(['pose@1', 'face@1', 'watermark@1', 'phash@1', 'quality@1']) AS id",
    "measured": "SELECT drawn.sha256, id AS model FROM drawn CROSS JOIN models",
    "detections": """SELECT sha256, 'pose@1' AS model, 'person' AS kind, 0.3 + 0.69 * ((lot + k) % 97) / 97 AS score,
        [100, 100, 100 + 500 * a + 100, 1500 - 900 * (k > 0)::INT] AS box,
        [[300 + j, 200 + 60 * j, ((lot + j * 7919) % 1000) / 1000] FOR j IN range(17)]::FLOAT[3][17] AS keypoints
        FROM drawn, range(3) extra(k) WHERE k = 0 OR a * k < 0.1
        UNION ALL SELECT sha256, 'face@1', 'face', 0.5 + 0.5 * ((lot + k * 13) % 97) / 97, [200, 120, 300, 250], NULL
        FROM drawn, range(2) extra(k) WHERE k = 0 AND b > 0.1 OR k = 1 AND c < 0.1""",
    "watermarks": "SELECT sha256, 'watermark@1' AS model, c * c AS probability FROM drawn",
    "hashes": "SELECT sha256, 'phash@1' AS model, lot AS phash FROM drawn",
    "qualities": """SELECT sha256, 'quality@1' AS model, a * 1000 AS sharpness, b AS brightness, c * 80 AS colourfulness
        FROM drawn""",
    "near": """SELECT least(x.sha256, y.sha256) AS a, greatest(x.sha256, y.sha256) AS b, x.lot % 11 AS distance
        FROM drawn x JOIN drawn y ON y.i = x.i + 1 AND y.person = x.person WHERE x.c < 0.05""",
    "captioned": "SELECT sha256, 'captioner@1' AS model, '' AS prompt, 'a photo of a person' AS caption FROM drawn",
    "captioner": "SELECT 'captioner@1' AS model, '' AS prompt",
}


MEASURED = ("measured", "detections", "watermarks", "hashes", "qualities", "captioned")


def build(path: Path, photos: int, each: int = EACH) -> Catalog:
    """A measured and captioned catalog of `photos` photos, `each` per person."""
    catalog = Catalog(path)
    catalog.create()
    with catalog.open() as con:
        con.execute(_RANDOM.format(photos=photos, each=each))
        for table, rows in _TABLES.items():
            # Photos are measured in the order of their hashes.
            order = "ORDER BY sha256" if table in MEASURED else ""
            query = rows.format(each=each, people=photos // each) if table == "sightings" else rows
            con.execute(f"INSERT INTO {table} BY NAME FROM ({query}) {order}")
    return catalog


def table(work: Path) -> str:
    """A million photos, judged in a process of its own; then 20,000 people."""
    lines = ["| of 1,000,000 photos | seconds |", "| --- | ---: |"]
    build(work / "catalog.duckdb", PHOTOS)
    seconds, first_peak, change = _measured("first", work / "catalog.duckdb")
    peak = _measured("again", work / "catalog.duckdb")
    lines += [f"| {what} | {taken:.2f} |" for what, taken in seconds]
    lines += ["", f"The new thresholds changed: {change}", "", "| peak memory | MiB | limit | limit / ours |"]
    lines += ["| --- | ---: | ---: | ---: |"]
    for what, mebibytes in (("the first judgement", first_peak), ("`filter --rejudge`", peak)):
        lines.append(f"| {what} | {mebibytes:.0f} | {MEMORY_LIMIT} | {MEMORY_LIMIT / mebibytes:.2f}× |")
    return "\n".join([*lines, "", status_table(work)])


def status_table(work: Path) -> str:
    """`bolid status` as commands, start-up included, of 20,000 people with 20 photos each."""
    dataset, manifest = work / "people", work / "people.toml"
    (work / "photos").mkdir()
    manifest.write_text('name = "people"\n[source]\nkind = "folder"\npath = "photos"\n')
    judge.judge(build(dataset / "catalog.duckdb", MANY_PEOPLE * EACH_OF_MANY, EACH_OF_MANY), FEW, MODELS)
    lines = [f"| of {MANY_PEOPLE:,} people | seconds | of CPU | limit | limit / ours |"]
    lines += ["| --- | ---: | ---: | ---: | ---: |"]
    command = [sys.executable, "-m", "bolid", "status", str(manifest), "--data", str(dataset)]
    for options in ([], ["--json"]):
        taken, of_cpu = [], []
        for _ in range(ROUNDS):
            began, began_cpu = time.perf_counter(), _children_cpu()
            subprocess.run([*command, *options], check=True, capture_output=True)
            taken.append(time.perf_counter() - began)
            of_cpu.append(_children_cpu() - began_cpu)
        name, seconds, cpu = " ".join(["bolid status", *options]), statistics.median(taken), statistics.median(of_cpu)
        lines.append(f"| `{name}` | {seconds:.2f} | {cpu:.2f} | {STATUS_LIMIT:.1f} | {STATUS_LIMIT / seconds:.2f}× |")
    return "\n".join(lines)


FEW = Filter(min_photos_per_person=3)
LOOSER = Filter(max_watermark=0.7, min_confidence=0.4, min_keypoints=4)


def _measured(what: str, path: Path) -> Any:
    """What this module prints, run by itself: a process of a pool would import all benchmarks, PyTorch included."""
    command = [sys.executable, "-m", "benchmarks.ledger", what, str(path)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _rejudge(path: Path) -> float:
    """The peak memory, in MiB, of judging by the thresholds that were changed back."""
    judge.judge(Catalog(path), Filter())
    return peak_memory()


def _children_cpu() -> float:
    """Seconds of CPU of the commands so far: what remains comparable where the machine is shared."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _times(path: Path) -> tuple[list[tuple[str, float]], float, dict[str, Any]]:
    catalog = Catalog(path)
    seconds = []

    def timed(what: str, run: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = run()
        seconds.append((what, time.perf_counter() - began))
        return result

    timed("the first judgement, with building the ledger", lambda: judge.judge(catalog, Filter(), MODELS))
    change = timed("`filter --rejudge`, three new thresholds", lambda: judge.judge(catalog, LOOSER))
    timed("the funnel", lambda: judge.funnel(catalog))
    timed("`status`", catalog.summary)
    with catalog.open(read_only=True) as con:
        shas = con.execute("SELECT sha256 FROM photos USING SAMPLE 3 (reservoir, 0)").fetchall()
    for (sha256,) in shas:
        timed("`explain`", partial(judge.explain, catalog, sha256))
    return seconds, peak_memory(), change


if __name__ == "__main__":
    print(json.dumps({"first": _times, "again": _rejudge}[sys.argv[1]](Path(sys.argv[2]))))
