"""A catalog of a million photos: the time to judge, count and explain them.

The measurements are random; only the catalog exists. Times are measured in a running process, including opening the
catalog; memory is the peak of the process while it judges.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bolid_data.catalog import Catalog
from bolid_data.curate import judge
from bolid_data.manifest import Filter

PHOTOS = 1_000_000
MODELS = judge.ModelIds("pose@1", "face@1", "watermark@1", "phash@1", "quality@1")

_RANDOM = """
CREATE TEMP TABLE drawn AS
SELECT i, sha256(i::VARCHAR) AS sha256, 'person_' || (i // 500) AS person, hash(i) AS lot,
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
        UNION ALL SELECT 'https://a.example/other/' || i || '.jpg', 'person_' || ((i // 500 + 7) % 2000), sha256, NULL,
        'stored', 200, TIMESTAMP '2026-01-01', 'allowed' FROM drawn WHERE b < 0.005""",
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


def build(path: Path, photos: int) -> Catalog:
    """A measured and captioned catalog of `photos` photos, 500 per person."""
    catalog = Catalog(path)
    catalog.create()
    with catalog.open() as con:
        con.execute(_RANDOM.format(photos=photos))
        for table, rows in _TABLES.items():
            # Photos are measured in the order of their hashes.
            order = "ORDER BY sha256" if table in MEASURED else ""
            con.execute(f"INSERT INTO {table} BY NAME FROM ({rows}) {order}")
    return catalog


def table(work: Path) -> str:
    """A million photos, judged in a process of its own."""
    lines = ["| of 1,000,000 photos | seconds |", "| --- | ---: |"]
    build(work / "catalog.duckdb", PHOTOS)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        seconds, peak, change = pool.submit(_times, work / "catalog.duckdb").result()
    lines += [f"| {what} | {taken:.2f} |" for what, taken in seconds]
    return "\n".join([*lines, "", f"Peak memory {peak:.0f} MiB. The new thresholds changed: {change}"])


def _times(path: Path) -> tuple[list[tuple[str, float]], float, dict[str, Any]]:
    catalog = Catalog(path)
    seconds = []

    def timed(what: str, run: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = run()
        seconds.append((what, time.perf_counter() - began))
        return result

    looser = Filter(max_watermark=0.7, min_confidence=0.4, min_keypoints=4)
    timed("the first judgement, with building the ledger", lambda: judge.judge(catalog, Filter(), MODELS))
    change = timed("`filter --rejudge`, three new thresholds", lambda: judge.judge(catalog, looser))
    timed("the funnel", lambda: judge.funnel(catalog))
    timed("`status`", catalog.summary)
    with catalog.open(read_only=True) as con:
        shas = con.execute("SELECT sha256 FROM photos USING SAMPLE 3 (reservoir, 0)").fetchall()
    for (sha256,) in shas:
        timed("`explain`", partial(judge.explain, catalog, sha256))
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, change
