"""Which runs are compared: names, seeds and LoRAs."""

import hashlib
import json
from pathlib import Path

import pytest

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Train
from bolid_train.evaluate.finished_runs import find_runs, subject_runs_by_person


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs, the last two of them unfinished."""
    for name in ("bolid", "bolid-seed0", "ip-seed0", "ip-seed1", "text"):
        _write(tmp_path, name)
    for name in ("ip", "unfinished"):
        (tmp_path / name).mkdir()
    return tmp_path


def _write(folder: Path, name: str, method: str = "bolid", person: str = "erik", photos: int | None = None) -> None:
    people = {"salt": "s", "hashes": [hashlib.sha256(f"s{person}".encode()).hexdigest()]}
    about = {"method": method, "base": "", "components": [], "ref_dim": 8, "body_dim": 8, "steps": 1, "lock": None}
    about |= {"settings": Train(method=method).model_dump(mode="json"), "people": people, "licences": {}}
    (folder / name).mkdir()
    (folder / name / "adapter.json").write_text(json.dumps(about | {"photos": photos}))


def _found(runs: Path, *names: str) -> list[tuple[str, str]]:
    return [(run.folder.name, run.name) for run in find_runs(runs, names)]


def test_a_name_is_a_run_or_the_seeds_of_one(runs: Path) -> None:
    assert _found(runs, "ip") == [("ip-seed0", "ip"), ("ip-seed1", "ip")]
    assert _found(runs, "ip-seed1", "text") == [("ip-seed1", "ip")]


def test_a_run_is_never_mixed_with_seeds_of_its_name_and_that_is_said(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _found(runs) == [("bolid", "bolid"), ("ip-seed0", "ip"), ("ip-seed1", "ip")]
    assert "'bolid' is the run of that name; left out: bolid-seed0" in capsys.readouterr().err


def test_a_name_of_nothing_says_what_there_is(runs: Path) -> None:
    for name in ("magic", "../bolid", "lora"):
        with pytest.raises(UsageError, match=f"no such run as '{name}'; there are bolid, bolid-seed0, ip-seed0"):
            find_runs(runs, [name])
    with pytest.raises(BolidError, match="unfinished is not finished"):
        find_runs(runs, ["unfinished"])


def test_loras_are_one_method_and_only_those_of_the_people_and_photos_asked_for_count(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, person, photos in (
        ("a-1", "anna", 1), ("a-8-0", "anna", 8), ("a-8-1", "anna", 8), ("b-1", "boris", 1), ("b-8", "boris", 8),
        ("c-8", "clara", 8), ("e-8", "erik", 8), ("a-2", "anna", 2), ("old", "anna", None),
    ):  # fmt: skip
        _write(runs, f"lora-{name}", "lora", person, photos)
    found = find_runs(runs, ["lora"])
    assert len(found) == 9 and {run.name for run in found} == {"lora"}
    chosen = subject_runs_by_person(found, ["clara", "boris", "anna"], (0, 1, 8))
    names = {
        photos: {person: [run.folder.name for run in own] for person, own in people.items()}
        for photos, people in chosen.items()
    }
    assert names == {
        1: {1: ["lora-b-1"], 2: ["lora-a-1"]},
        8: {1: ["lora-b-8"], 2: ["lora-a-8-0", "lora-a-8-1"]},
    }, "clara has none of one photo"
    assert "3 runs of one person are left out" in capsys.readouterr().err
