"""Training: what a run leaves, that it can be killed at any moment, and its errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest
from bolid_data.weights import file_sha256
from bolid_train.data.features.batches import make_batch
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.person_proportions import ProportionStatistics
from bolid_train.data.sampler import PersonSampler
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.methods import adapter, registry
from bolid_train.training.step import training_features
from bolid_train.training.trainer import train
from tests.support.drawn_shards import draw_person, drawn_people, write_manifest, write_shards
from tests.support.paths import ROOT
from tests.support.processes import run_two

KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from bolid_train.settings import load
from bolid_train.training.trainer import train
folder = Path(sys.argv[2])
train(load(folder / "manifest.toml"), folder, steps=100000, run="killed", checkpoint_every=3)
"""


EVERYTHING = {
    "ema": 0.9,
    "gradient_accumulation": 2,
    "warmup": 3,
    "bolid": {"kl": 0.01, "kl_warmup": 5},
    "objective": {
        "detector": "tiny-keypoints",
        "min_snr": 5.0,
        "identity": 1.0,
        "clip_text": 0.1,
        "clip_style": 0.1,
        "share": 1.0,
    },
}


def _losses(folder: Path, run: str = "bolid") -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "runs" / run / "losses.jsonl").read_text().splitlines()]


@pytest.fixture
def folder(trained: tuple[Path, Manifest], tmp_path: Path) -> Path:
    """A copy of a trained dataset that a test may change."""
    return Path(shutil.copytree(trained[0], tmp_path / "copy"))


def test_a_run_holds_what_it_promises(trained: tuple[Path, Manifest]) -> None:
    run = trained[0] / "runs" / "bolid"
    made = json.loads((run / "adapter.json").read_text())
    files = {component["file"]: component for component in made["components"]}
    assert set(files) == {f"{name}.safetensors" for name in ("ref", "body", "encoder", "prior")}
    assert all(file_sha256(run / name) == component["sha256"] for name, component in files.items())
    assert (made["method"], made["ref_dim"], made["body_dim"]) == ("bolid", 64, 32)
    assert Path(made["base"]).is_dir()
    assert (len(made["people"]["hashes"]), made["photos"]) == (3, 8)
    assert not any(name in (run / "adapter.json").read_text() for name in ("anna", "boris", "clara"))
    assert [line["step"] for line in _losses(trained[0])] == list(range(1, 11))
    assert list((run / "tensorboard").glob("events*"))
    assert [file.name for file in (run / "validation").iterdir()] == ["step-00000010.png"]
    doctor = json.loads((run / "doctor.json").read_text())
    assert (doctor["people"], doctor["photos"], doctor["people_with_one_photo"]) == (3, 8, 1)
    assert doctor["broken_photos"] == 0


def test_a_resumed_run_has_the_same_losses_to_the_last_digit(folder: Path) -> None:
    settings = write_manifest(folder)
    whole = train(settings, folder, steps=20, run="whole")
    resumed = train(settings, folder, steps=20, resume=True)
    assert (whole["resumed_from"], resumed["resumed_from"]) == (None, 10)
    assert _losses(folder) == _losses(folder, "whole")
    for name in ("ref", "body", "encoder"):
        files = [folder / "runs" / run / f"{name}.safetensors" for run in ("bolid", "whole")]
        assert file_sha256(files[0]) == file_sha256(files[1])


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(folder: Path) -> None:
    settings = write_manifest(folder, **EVERYTHING)
    root = str(ROOT)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, root, str(folder)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    losses = folder / "runs" / "killed" / "losses.jsonl"
    deadline = time.monotonic() + 150
    while not (losses.is_file() and losses.read_text().count("\n") >= 5):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(BolidError, match="--resume continues it"):
        train(settings, folder, run="killed")
    steps = len(_losses(folder, "killed")) + 4
    summary = train(settings, folder, steps=steps, run="killed", resume=True)
    assert 3 <= summary["resumed_from"] < steps
    train(settings, folder, steps=steps, run="whole")
    assert _losses(folder, "killed") == _losses(folder, "whole")


def test_with_every_term_average_and_accumulation_a_resumed_run_is_the_same(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    settings = write_manifest(tmp_path, **EVERYTHING)
    train(settings, tmp_path, steps=6, run="whole")
    train(settings, tmp_path, steps=3)
    train(settings, tmp_path, steps=6, resume=True)
    lines = _losses(tmp_path)
    assert lines == _losses(tmp_path, "whole")
    assert {"diffusion", "kl", "proportions", "identity", "clip_text", "clip_style"} <= set(lines[0])
    files = sorted(file.name for file in (tmp_path / "runs" / "whole").glob("*.safetensors"))
    assert files == ["body.safetensors", "encoder.safetensors", "prior.safetensors", "ref.safetensors"]
    for name in files:
        assert file_sha256(tmp_path / "runs" / "bolid" / name) == file_sha256(tmp_path / "runs" / "whole" / name)


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batch(dataset: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        shutil.copytree(dataset / "shards", folder / "shards")
    train(write_manifest(one, batch_size=4, **EVERYTHING), one, steps=3)
    write_manifest(two, batch_size=2, **EVERYTHING)
    command = ["cli.py", "train", two / "manifest.toml", "--data", two, "--steps", "3"]
    run_two(command, seconds=200)
    assert len(_losses(one)) == len(_losses(two)) == 3
    for first, second in zip(_losses(one), _losses(two), strict=True):
        assert first == pytest.approx(second, rel=1e-4), "sums in another order, and no more"
    features = [{path.relative_to(folder) for path in folder.glob("features/*/*/*")} for folder in (one, two)]
    assert features[0] == features[1], "which two processes have made together"


def test_deterministic_algorithms_are_used_if_they_are_asked_for_and_only_then(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    for deterministic in (True, False):
        settings = write_manifest(tmp_path, **EVERYTHING, deterministic=deterministic)
        train(settings, tmp_path, steps=2, run=f"run-{deterministic}")
        assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert _losses(tmp_path, "run-True") == _losses(tmp_path, "run-False"), "a CPU has no others"


def test_a_run_is_not_resumed_with_other_settings(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"learning_rate = 0\.0001, now it is 0\.01"):
        train(write_manifest(folder, learning_rate=0.01), folder, resume=True)


def test_overwriting_starts_afresh(folder: Path) -> None:
    summary = train(write_manifest(folder, learning_rate=0.001), folder, steps=2, overwrite=True)
    assert summary["resumed_from"] is None
    assert len(_losses(folder)) == 2


def test_the_loss_falls_on_a_batch_seen_again_and_the_base_stays(trained: tuple[Path, Manifest]) -> None:
    folder, settings = trained
    base = Base.resolve(settings.train, folder)
    people = ShardDataset(folder / "shards").people("train")
    cache = FeatureCache(folder / "features", base, settings.train, training_features(settings.train, folder))
    items, statistics = PersonSampler(people, 3, 3, seed=0).items(1), ProportionStatistics(people)
    batch = make_batch(cache, items, statistics=statistics).to(torch.device("cpu"))
    torch.manual_seed(0)
    denoiser = Denoiser.from_settings(base, settings.train, torch.device("cpu"))
    before = {name: value.clone() for name, value in denoiser.unet.state_dict().items()}
    method = registry.resolve("bolid").make(settings.train, base)
    method.install(denoiser.unet, base)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        inputs, state = method.condition(batch)
        diffusion = denoiser.loss(batch.latents, inputs, batch.random)
        loss = torch.stack([diffusion, *method.losses(denoiser, batch, state).values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in method.parameters())
        optimizer.step()
        losses.append(diffusion.item())
    assert losses[-1] < losses[0] - 0.005
    assert all(torch.equal(value, denoiser.unet.state_dict()[name]) for name, value in before.items())


def test_an_unknown_method_is_an_error_that_lists_the_known(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'magic' is not known; known methods are bolid"):
        train(write_manifest(tmp_path, method="magic"), dataset)


def test_no_one_to_train_on_says_what_to_do(tmp_path: Path) -> None:
    settings = write_manifest(tmp_path)
    write_shards(tmp_path / "shards", drawn_people({"anna": 2}, "val"))
    with pytest.raises(BolidError, match="no one in split 'train'"):
        train(settings, tmp_path)


def test_photos_without_visible_keypoints_are_refused(tmp_path: Path) -> None:
    jpeg, keypoints = draw_person(0)
    unsure = [[x, y, 0.2] for x, y, _ in keypoints]
    write_shards(tmp_path / "shards", {"anna": [("train", jpeg, unsure, "a"), ("train", draw_person(1)[0], None, "b")]})
    with pytest.raises(BolidError, match="visible keypoint"):
        train(write_manifest(tmp_path), tmp_path)


def test_a_run_name_stays_in_its_folder(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run name"):
        train(write_manifest(tmp_path), dataset, run="../elsewhere")


def test_a_run_may_start_from_a_finished_one_of_its_kind(folder: Path) -> None:
    train(write_manifest(folder, start="bolid", learning_rate=1e-9), folder, steps=1, run="second")
    before, after = (load_file(folder / "runs" / run / "encoder.safetensors") for run in ("bolid", "second"))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)
    seen = [json.loads((folder / "runs" / run / "adapter.json").read_text())["people"] for run in ("bolid", "second")]
    assert seen[0] == seen[1] and len(seen[1]["hashes"]) == 3, "whom the first has seen, the second has"
    with pytest.raises(UsageError, match="that run has method 'bolid' and body_dim 32"):
        train(write_manifest(folder, start="bolid", body_dim=16), folder, steps=1, run="third")
    other = write_manifest(folder, start="bolid", reference_fit="crop", view_fit="squash")
    train(other, folder, steps=1, run="fits")
    settings = json.loads((folder / "runs" / "fits" / "adapter.json").read_text())["settings"]
    assert (settings["reference_fit"], settings["view_fit"]) == ("pad", "pad"), "as the run that it starts from"
    with pytest.raises(UsageError, match="no such run"):
        train(write_manifest(folder, start="nobody"), folder, steps=1, run="third")
    with pytest.raises(UsageError, match="used the base's image encoder; name the same image_encoder"):
        train(write_manifest(folder, start="bolid", image_encoder="clip-bodies"), folder, steps=1, run="third")


def test_the_base_alone_makes_a_run_without_steps(folder: Path) -> None:
    summary = train(write_manifest(folder, method="text"), folder)
    assert (summary["run"], summary["steps"], summary["last_loss"]) == ("text", 0, None)
    assert json.loads((folder / "runs" / "text" / "adapter.json").read_text())["components"] == []


def test_a_lora_is_trained_on_the_one_person_and_tells_nobodys_name(folder: Path) -> None:
    summary = train(write_manifest(folder, method="lora", person="anna"), folder, steps=2)
    assert (summary["people"], summary["photos"]) == (1, 4)
    files = list((folder / "runs" / "lora").rglob("*.json*"))
    assert files and not any("anna" in file.read_text() for file in files)


def test_a_lora_of_some_photos_knows_how_many_and_resumes_on_no_others(folder: Path) -> None:
    photos = [photo.sha256 for photo in ShardDataset(folder / "shards").people("train")["anna"]]
    settings = write_manifest(folder, method="lora", person="anna", photos=photos[:2])
    assert train(settings, folder, steps=1)["photos"] == 2
    run = folder / "runs" / "lora"
    assert adapter.read(run).photos == 2
    assert not any(photos[0] in file.read_text() for file in run.rglob("*.json"))
    assert len(list(folder.glob("features/target-*/anna/*.safetensors"))) == 4, "features of the others are kept"
    with pytest.raises(UsageError, match="started with photos"):
        train(write_manifest(folder, method="lora", person="anna", photos=photos[1:3]), folder, steps=2, resume=True)
    assert train(settings, folder, steps=2, resume=True)["resumed_from"] == 1


INTERRUPTED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from bolid.cli import main
sys.argv = ["bolid", "train", f"{sys.argv[2]}/manifest.toml", "--data", sys.argv[2], "--run", "stopped",
            "--steps", "100000", "--checkpoint-every", "99999"]
main()
"""


def test_ctrl_c_ends_a_run_after_a_step_with_a_checkpoint(folder: Path) -> None:
    settings = write_manifest(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(ROOT), str(folder)],
        stderr=subprocess.PIPE,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # in the background it would be ignored
    )
    losses = folder / "runs" / "stopped" / "losses.jsonl"
    deadline = time.monotonic() + 150
    while not (losses.is_file() and losses.read_text().count("\n") >= 3):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    steps = len(_losses(folder, "stopped"))
    assert process.returncode == 130, said
    assert f"stopped after step {steps}, with a checkpoint; --resume continues from it" in said
    summary = train(settings, folder, steps=steps + 2, run="stopped", resume=True)
    assert summary["resumed_from"] == steps
    train(settings, folder, steps=steps + 2, run="whole")
    assert _losses(folder, "stopped") == _losses(folder, "whole")


def test_a_start_that_failed_leaves_no_run(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a diffusers pipeline"):
        (tmp_path / "empty").mkdir()
        train(write_manifest(folder, base=str(tmp_path / "empty")), folder, run="new")
    assert not (folder / "runs" / "new").exists()
    train(write_manifest(folder), folder, steps=1, run="new")


def test_a_run_ends_in_a_page_with_curves_images_and_the_loss_on_held_out_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = drawn_people({"anna": 4, "boris": 3, "clara": 1}) | drawn_people({"daria": 3, "erik": 3}, "val")
    write_shards(tmp_path / "shards", people)
    settings = write_manifest(tmp_path, validate_every=2, prompts=["a person at the sea <b>"])
    summary = train(settings, tmp_path, steps=4)
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "clara: the only photo is both target and view" in said
        and "validation is on held-out people: daria, erik" in said
    )
    run = tmp_path / "runs" / "bolid"
    held_out = json.loads((run / "held_out.json").read_text())
    assert set(held_out) == {"0", "2", "4"} and len(set(held_out.values())) == 3
    page = Path(summary["report"]).read_text()
    assert "<svg" in page and "data:image/png;base64," in page and f"{held_out['4']:.4f} at step 4" in page
    assert 'src="http' not in page and "anna" not in page
    width = Image.open(run / "validation" / "step-00000004.png").width
    train(write_manifest(tmp_path), tmp_path, steps=4, run="without", overwrite=True)
    assert width > Image.open(tmp_path / "runs" / "without" / "validation" / "step-00000004.png").width
    assert "sea" not in (run / "adapter.json").read_text(), "prompts may name someone"
    resumed = train(settings, tmp_path, steps=6, resume=True)
    assert resumed["resumed_from"] == 4
    assert set(json.loads((run / "held_out.json").read_text())) == {"0", "2", "4", "6"}


def test_without_people_to_hold_out_the_page_says_so(trained: tuple[Path, Manifest]) -> None:
    page = (trained[0] / "runs" / "bolid" / "report.html").read_text()
    assert "Nobody is held out" in page and not (trained[0] / "runs" / "bolid" / "held_out.json").exists()
