"""The floors that docs/architecture.md draws: imports lead down, never up and never in a circle."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PRODUCT = ("bolid", "bolid_data", "bolid_train")
BESIDE = ("small_world", "benchmarks", "tests")

ROOMS = {"collect", "curate", "shards", "report", "gallery", "review"}
"""The rooms of `bolid_data`'s upper floor; all else in it is the ground."""

CROSSINGS = {
    ("bolid_data.collect.run", "bolid_data.gallery"),
    ("bolid_data.collect.rebuild", "bolid_data.gallery"),
    ("bolid_data.report.show", "bolid_data.curate.judge"),
    ("bolid_data.report.page.material", "bolid_data.curate.judge"),
    ("bolid_data.report.page.others", "bolid_data.curate.judge"),
    ("bolid_data.review.history", "bolid_data.curate"),
    ("bolid_data.review.people", "bolid_data.curate"),
    ("bolid_data.review.requests", "bolid_data.curate"),
    ("bolid_data.review.session", "bolid_data.curate"),
    ("bolid_data.review.session", "bolid_data.report.show"),
    ("bolid_data.review.thresholds", "bolid_data.curate"),
    ("bolid_data.review.views", "bolid_data.curate.judge"),
}
"""What one room may import of another: a command's `run` serves the gallery, a report words what was judged, and the
review page shows what was judged and decides as the commands do."""

TRAINING = (
    "settings",
    "files",
    "embedded",
    "diffusion",
    "data",
    "methods",
    "losses",
    "inference",
    "evaluate",
    "publish",
    "training",
)
"""The floors of `bolid_train` from the lowest to the highest."""

MEASURERS = "bolid_data.curate.measurers"
"""The one thing that `bolid_train` takes from a room: YOLO, and how photos are fitted to it."""

Import = tuple[str, str]


def _modules() -> dict[str, Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    files = [Path(line) for line in listed if (ROOT / line).exists()]
    return {".".join(file.with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = _modules()


@cache
def _imports(module: str) -> frozenset[str]:
    """The project's modules that a module imports, also inside of functions."""
    return frozenset(_named(module)) - {module}


def _named(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / MODULES[module]).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports are absolute"
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                if whole in MODULES or node.module in MODULES:
                    yield whole if whole in MODULES else str(node.module)


def _all() -> Iterator[Import]:
    return ((module, target) for module in MODULES for target in _imports(module))


def _is_in(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "bolid_data" and len(parts) > 1 and parts[1] in ROOMS else None


def _floor(module: str) -> int:
    """0 the ground, 1 the rooms of data, 2 training, 3 the command line."""
    if _is_in(module, "bolid", "cli"):
        return 3
    if _is_in(module, "bolid_train"):
        return 2
    return 1 if _room(module) else 0


def test_no_import_leads_in_a_circle() -> None:
    state: dict[str, bool] = {}  # a module is on the way (False) or done (True)
    way: list[str] = []

    def visit(module: str) -> None:
        state[module] = False
        way.append(module)
        for target in sorted(_imports(module)):
            assert state.get(target) is not False, f"a circle: {' → '.join([*way[way.index(target) :], target])}"
            if target not in state:
                visit(target)
        way.pop()
        state[module] = True

    for module in sorted(MODULES):
        if module not in state:
            visit(module)


def test_no_import_leads_up() -> None:
    product = [(module, target) for module, target in _all() if _is_in(module, *PRODUCT) and _is_in(target, *PRODUCT)]
    assert not [pair for pair in product if _floor(pair[0]) < _floor(pair[1])]


def test_rooms_do_not_import_each_other() -> None:
    def is_allowed(module: str, target: str) -> bool:
        return any(module == of and _is_in(target, room) for of, room in CROSSINGS)

    pairs = [(module, target) for module, target in _all() if _room(module) and _room(target)]
    assert not [pair for pair in pairs if _room(pair[0]) != _room(pair[1]) and not is_allowed(*pair)]


def test_training_has_floors_of_its_own() -> None:
    def height(module: str) -> int:
        return TRAINING.index(module.split(".")[1])

    inner = [pair for pair in _all() if all(module.startswith("bolid_train.") for module in pair)]
    assert not [pair for pair in inner if height(pair[0]) < height(pair[1])]


@pytest.mark.parametrize("package", ["bolid_data.catalog", "small_world"])
def test_training_needs_neither_the_catalog_nor_the_small_world(package: str) -> None:
    """Not even by way of what it imports: a machine with the shards and their index is enough."""
    reached = {module for module in MODULES if _is_in(module, "bolid_train")}
    frontier = list(reached)
    while frontier:
        new = _imports(frontier.pop()) - reached
        reached |= new
        frontier += new
    assert not [module for module in reached if _is_in(module, package)]


def test_training_takes_the_measurers_alone_from_the_rooms_of_data() -> None:
    pairs = [(module, target) for module, target in _all() if _is_in(module, "bolid_train") and _room(target)]
    assert not [pair for pair in pairs if not _is_in(pair[1], MEASURERS)]


def test_the_product_imports_nothing_of_what_stands_beside_it() -> None:
    assert not [pair for pair in _all() if _is_in(pair[0], *PRODUCT, "cli") and _is_in(pair[1], *BESIDE)]
    assert not [pair for pair in _all() if _is_in(pair[0], "small_world") and _is_in(pair[1], "benchmarks", "tests")]


def test_tests_and_benchmarks_share_nothing_but_the_support() -> None:
    pairs = [pair for pair in _all() if not _is_in(pair[1], "tests.support")]
    assert not [pair for pair in pairs if _is_in(pair[0], "benchmarks") and _is_in(pair[1], "tests")]
    assert not [pair for pair in pairs if _is_in(pair[0], "tests") and _is_in(pair[1], "benchmarks")]


def test_sql_stands_in_the_catalog_and_the_judge_alone() -> None:
    """Shards have an index of their own, whose reader and writer are named."""
    allowed = ("bolid_data.catalog", "bolid_data.curate.judge", "bolid_data.shard_index")
    wrote = [
        module
        for module in MODULES
        if _is_in(module, "bolid_data", "bolid_train", "bolid")
        and not _is_in(module, *allowed)
        and ".execute(" in (ROOT / MODULES[module]).read_text(encoding="utf-8")
    ]
    assert not wrote
