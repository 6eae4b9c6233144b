"""`[consent]` of a manifest, and what a lock records of it."""

import datetime
from pathlib import Path

import pytest

from bolid_data.errors import UsageError
from bolid_data.manifest import Consent, load
from tests.support.commands import bolid
from tests.support.published_dataset import home, sharded, write_manifest  # noqa: F401

TODAY = datetime.date(2030, 6, 1)


def read(folder: Path, text: str) -> Consent:
    path = folder / "m.toml"
    path.write_text(f'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n{text}')
    return load(path).consent


def test_nothing_is_recorded_by_default(tmp_path: Path) -> None:
    anna = read(tmp_path, "").of("anna")
    assert anna.recorded() == {}
    assert anna.problem(TODAY) == "no basis is recorded"


def test_keys_of_a_person_replace_those_of_everybody_one_by_one(tmp_path: Path) -> None:
    consent = read(
        tmp_path,
        '[consent]\nbasis = "consent"\nby = "me"\nuntil = 2030-06-01\n'
        '[consent.people.anna]\nbasis = "contract"\n[consent.people.berta]\nuntil = 2031-01-01\n'
        '[consent.people.carl]\nbasis = ""\n',
    )
    assert consent.of("dora").recorded() == {"basis": "consent", "by": "me", "until": "2030-06-01"}
    assert consent.of("anna").recorded() == {"basis": "contract", "by": "me", "until": "2030-06-01"}
    assert consent.of("berta").recorded() == {"basis": "consent", "by": "me", "until": "2031-01-01"}
    assert consent.of("carl").recorded() == {}


@pytest.mark.parametrize(
    ("until", "problem"),
    [
        ("2030-06-01", None),
        ("2030-05-31", "the basis ran out on 2030-05-31"),
        ('"2030-05-31"', "the basis ran out on 2030-05-31"),
    ],
)
def test_a_basis_holds_on_its_last_day_and_no_longer(tmp_path: Path, until: str, problem: str | None) -> None:
    assert read(tmp_path, f'[consent]\nbasis = "consent"\nuntil = {until}\n').of("anna").problem(TODAY) == problem


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('basis = "a\\nb"', ":6: consent.basis: "),
        ("basis = 1", ":6: consent.basis: "),
        ("until = 2030-13-01", "not valid TOML"),
        ('until = "soon"', ":6: consent.until: 'soon' is not a date such as 2030-12-31"),
        ("until = 2030-01-01T10:00:00", ":6: consent.until: give a date such as 2030-12-31, without a time"),
        ('[consent.people.anna]\nbase = "x"', ":7: consent.people.anna.base: no such key; did you mean basis?"),
        ('[consent.people."Anna B"]\nbasis = "x"', ":6: consent.people.Anna B: "),
        ('[consent.people.anna.people.berta]\nbasis = "x"', "consent.people.anna.people: no such key"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, mistake: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, f"[consent]\n{text}\n")
    assert mistake in str(caught.value)


def test_shard_names_slugs_that_nobody_has_and_people_without_a_basis(home: Path) -> None:  # noqa: F811
    write_manifest(home, '[consent.people.ana]\nbasis = "consent"\n[consent.people.carl]\nbasis = "consent"\n')
    done = bolid("shard", "m.toml", "--data", "data", cwd=home)
    assert done.returncode == 0
    assert "nobody in the shards has the slug ana" in done.stderr
    assert "no basis for anna, berta;" in done.stderr
