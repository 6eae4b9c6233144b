"""Nobody is in two sets, and what test B shows is not in training."""

import re
from pathlib import Path

import numpy as np
import pytest

import small_world
from bolid_data.synthetic.looks import Look
from small_world.world import splits as flat
from small_world.world3d.looks import Style, draw_look_of
from small_world.world3d.splits import MODELS, SEEN, SPLITS, UNSEEN

SETS = {**SPLITS, **MODELS}


def test_no_two_sets_share_people_nor_a_seed_with_anything_else() -> None:
    seeds = [split.seed for split in SETS.values()]
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & {split.seed for split in vars(flat).values() if isinstance(split, flat.Split)}
    project = Path(small_world.__file__).parents[1]
    folders = [project / name for name in ("bolid_data", "bolid_train", "benchmarks", "small_world", "tests")]
    here = project / "small_world" / "world3d" / "splits.py"
    written = "|".join(rf"{seed // 1000}_?{seed % 1000:03d}" for seed in seeds)
    files = [file for folder in folders for file in folder.rglob("*.py") if file != here]
    assert [file for file in files if re.search(rf"(?<!\w)(?:{written})(?!\w)", file.read_text(encoding="utf-8"))] == []


def test_test_b_shares_no_garment_colour_and_place_with_training_and_no_pattern_but_plain() -> None:
    for kind in ("tops", "legs", "colours", "places"):
        assert not set(getattr(UNSEEN, kind)) & set(getattr(SEEN, kind)), kind
    assert set(UNSEEN.patterns) & set(SEEN.patterns) == {"plain"}
    assert SPLITS["test_b"].style == UNSEEN
    assert {SPLITS[name].style for name in ("train", "validation", "test_a")} == {SEEN}


@pytest.mark.parametrize("woman", [True, False])
@pytest.mark.parametrize(("style", "other"), [(SEEN, UNSEEN), (UNSEEN, SEEN)])
def test_looks_are_of_their_style_and_of_no_other(style: Style, other: Style, woman: bool) -> None:
    rng = np.random.default_rng(0)
    looks = [draw_look_of(style, rng, woman) for _ in range(24)]
    assert all(_kinds(look) <= {*style.tops, *style.legs} for look in looks)
    assert {cloth.colour for look in looks for _, cloth in look.cloths if look.bottom} <= set(style.colours)
    assert not any(other.allows(look) for look in looks)
    assert len({look.tops[-1].kind for look in looks}) >= 3


def _kinds(look: Look) -> set[str]:
    return {look.tops[-1].kind} | ({look.bottom.kind} if look.bottom else set())
