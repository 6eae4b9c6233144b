"""The runs that are compared: each is what it says, starts from its own seed's, and is trained once."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.data.preflight import usable_people
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.evaluate.cases import choose_cases
from bolid_train.methods import adapter
from small_world import experiments
from small_world.experiments import ABLATIONS, MANIFEST, METHODS, PUBLISHED, RUNS, SEEDS, Experiment, loras, train_all
from tests.support.drawn_shards import drawn_people, write_manifest, write_shards


def test_every_method_is_trained_with_three_seeds_on_a_run_of_the_same_seed() -> None:
    of_table = {f"{name}-seed{seed}" for name in METHODS for seed in SEEDS}
    assert of_table | {f"{name}-seed0" for name in PUBLISHED} | set(ABLATIONS) == set(RUNS)
    names = list(RUNS)
    for name, experiment in RUNS.items():
        made = experiment.manifest
        assert name not in METHODS and (name in ABLATIONS or name.endswith(f"-seed{made.seed}"))
        if start := made.train.start:
            assert start.endswith(f"-seed{made.seed}") and names.index(start) < names.index(name)
            assert RUNS[start].manifest.train.method == made.train.method


def test_a_run_on_the_other_world_differs_in_its_models_and_sizes_alone() -> None:
    flat, other = (
        RUNS["bolid-seed1"].by(MANIFEST.with_name(name)) for name in ("small-world.toml", "small-world-3d.toml")
    )
    assert (flat, other.seed, other.train.start) == (RUNS["bolid-seed1"].manifest, 1, "bolid-diffusion-seed1")
    first, second = (made.train.model_dump() for made in (flat, other))
    objective = {name for name, value in first.pop("objective").items() if value != second["objective"][name]}
    assert objective == {"detector", "clip", "lightning"}
    differences = {name for name, value in first.items() if value != second[name]}
    assert differences == {"base", "image_encoder", "resolution", "view_resolution"}


def test_all_methods_have_as_many_steps_on_as_many_photos() -> None:
    def photos(name: str) -> int:
        settings = RUNS[name].manifest.train
        before = photos(settings.start) if settings.start else 0
        return before + settings.steps * settings.batch_size * settings.gradient_accumulation

    assert len({photos(f"{name}-seed0") for name in ("bolid", "ip-adapter", "ip-adapter-views")}) == 1


def _of(name: str) -> dict[str, Any]:
    """What the ablation differs from in one thing."""
    if name in ("bolid-only-diffusion", "ip-adapter-identity"):
        return METHODS["bolid"]
    if name == "ip-adapter-diffusion-seed0":
        return METHODS["ip-adapter"]
    if name.endswith("-blind-seed0"):
        return METHODS[name.removesuffix("-blind-seed0")]
    if name == "bolid-no-clip":
        return ABLATIONS["bolid-blind-seed0"]
    return ABLATIONS["bolid-no-clip" if "start" in ABLATIONS[name] else "bolid-diffusion-blind-seed0"]


def test_an_ablation_differs_in_one_thing() -> None:
    for name, ablation in ABLATIONS.items():
        other = {key for key, _ in _of(name).items() ^ ablation.items()} - {"bolid.prior_steps", "start"}
        terms = {"objective.identity", "objective.clip_text"}  # of the second stage
        assert len(other) == 1 or other == terms or "objective.pictures" in other, name
        if "start" in ablation:
            looks = {RUNS[run].manifest.train.image_encoder for run in (name, f"{ablation['start']}-seed0")}
            assert len(looks) == 1, "a run starts from one that looked through the same eyes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tmp_path / "shards", drawn_people({"anna": 3, "boris": 4, "clara": 5, "daria": 4}, "val"))
    return tmp_path


def test_a_lora_is_of_the_very_photos_that_the_other_methods_get(folder: Path) -> None:
    found = loras(folder, "val", people=2, views=(1, 3), seeds=(0, 5))
    assert len(found) == 2 * 2 * 2
    shards = ShardDataset(folder / "shards")
    cases = choose_cases(usable_people(shards, Train(), "val"), 0, 3, 4)
    for number, case in enumerate(cases[:2]):
        assert case.person in ("boris", "clara"), "anna has no photo beside the three"
        for count in (1, 3):
            for seed in (0, 5):
                made = found[f"lora-{folder.name}-{count}-seed{seed}-{number:02d}"].manifest
                assert (made.seed, made.train.lora.person) == (seed, case.person)
                assert made.train.lora.photos == [photo.sha256 for photo in case.views[:count]]


def test_what_is_finished_is_not_trained_again(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    monkeypatch.setattr(experiments, "MANIFEST", write_manifest(tmp_path, prior_steps=0, encoder_steps=0).path)
    first = {"one-seed1": Experiment({"method": "ip-adapter", "steps": 1}, 1)}
    train_all(first, tmp_path)
    file = tmp_path / "runs" / "one-seed1" / "adapter.json"
    before = file.stat().st_mtime_ns
    train_all(first | {"two": Experiment({"method": "ip-adapter", "steps": 1, "start": "one"}, 1)}, tmp_path)
    assert file.stat().st_mtime_ns == before
    assert adapter.read(tmp_path / "runs" / "two").settings["start"] == "one-seed1"
    with pytest.raises(UsageError, match=r"three: .*no such run"):
        train_all({"three": Experiment({"method": "ip-adapter", "start": "one"}, 2)}, tmp_path)
