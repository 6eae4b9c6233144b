"""Runs that were trained with buckets, on photos of many shapes: each image has the size of its prompt's photo."""

import io
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

from bolid_data.manifest import Manifest
from bolid_train.data.buckets import size_of
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.evaluate.batching import image_size
from bolid_train.evaluate.cases import Case, choose_cases
from bolid_train.evaluate.features import EvaluationFeatures
from bolid_train.evaluate.finished_runs import find_runs
from bolid_train.evaluate.image_generator import ImageGenerator, Sampling
from bolid_train.evaluate.run import evaluate
from tests.bolid_train.evaluate.finished_run import write_run
from tests.support.drawn_shards import HEIGHT, WIDTH, Row, drawn_people, write_manifest, write_shards

FAST = Sampling(steps=2, guidance=5.0)
SHAPES = [(WIDTH, HEIGHT), (320, 240), (240, 240), (180, 360)]
SIZES = {(56, 72), (72, 56), (64, 64), (48, 80)}
"""At which photos of these shapes are trained."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A dataset's folder with three people in `val`, whose photos have the shapes in turn; runs `bolid` and `lora-0`,
    `lora-1`, trained with buckets, and `square`, trained without; and the manifest with buckets."""
    folder = tmp_path_factory.mktemp("buckets")
    _write_shards(folder / "shards", drawn_people({"anna": 4, "boris": 4, "clara": 5}, "val"))
    write_run(folder, "square", "ip-adapter", seed=0)
    for seed, person in enumerate(("anna", "boris")):
        write_run(folder, f"lora-{seed}", "lora", seed, person, buckets=True)
    return folder, write_run(folder, "bolid", "bolid", seed=0, buckets=True)


def _write_shards(folder: Path, people: dict[str, list[Row]]) -> None:
    """Shards of the people's photos, resized to the shapes in turn, and an index that says so."""
    sizes = {}
    for person, rows in people.items():
        for number, (split, jpeg, keypoints, caption) in enumerate(rows):
            size = SHAPES[number % len(SHAPES)]
            file = io.BytesIO()
            Image.open(io.BytesIO(jpeg)).resize(size).save(file, "JPEG")
            scale = np.array([size[0] / WIDTH, size[1] / HEIGHT, 1])
            people[person][number] = split, file.getvalue(), (np.array(keypoints) * scale).tolist(), caption
            sizes[caption] = size
    write_shards(folder, people)
    with duckdb.connect(folder / "index.duckdb") as index:
        for caption, size in sizes.items():
            index.execute("update samples set width = ?, height = ? where caption = ?", [*size, caption])


@pytest.fixture(scope="module")
def result(made: tuple[Path, Manifest]) -> dict:
    """What is returned of the runs with buckets, with no and two photos."""
    return evaluate(made[1], made[0], ["bolid", "lora"], views=(0, 2), sampling=FAST)


def _generator(made: tuple[Path, Manifest], cases: list[Case]) -> ImageGenerator:
    folder, manifest = made
    features = EvaluationFeatures(
        folder / "evaluation" / "features", manifest.train, ShardDataset(folder / "shards"), cases, folder
    )
    return ImageGenerator(Base.resolve(manifest.train, folder), FAST, cases, features, folder)


def _cases(made: tuple[Path, Manifest]) -> list[Case]:
    return choose_cases(ShardDataset(made[0] / "shards").people("val"), made[1].seed, views=2, prompts=4)


def test_an_image_has_its_prompts_training_size_and_is_the_same_whatever_is_generated_with_it(
    made: tuple[Path, Manifest],
) -> None:
    cases, [run] = _cases(made), find_runs(made[0] / "runs", ["bolid"])
    sizes = [size_of(prompt, made[1].train) for case in cases for prompt in case.prompts]
    assert len(set(sizes)) > 2 and set(sizes) <= SIZES
    generator = _generator(made, cases)
    [(_, drawn), (_, shown)] = generator.generate(run, [0, 2])
    for generated in (generator.generate_baseline(), drawn, shown):
        assert [image_size(image) for image in generated.images] == sizes
        assert bool((generated.seconds > 0).all())
    [(_, alone)] = _generator(made, cases[1:2]).generate(run, [2])
    for image, together in zip(alone.images, shown.images[4:8], strict=True):
        assert float((image - together).abs().max()) <= 4 / 255, "two levels of 256"


def test_all_that_is_measured_of_squares_is_measured_of_images_of_any_size(result: dict) -> None:
    rows = {(row["set"].rpartition("/")[2], row["method"], row["views"], row["metric"]): row for row in result["rows"]}
    metrics = {"body_sim", "limb_error", "clip_t", "clip_i", "pose_copy", "clothes_leak", "failures", "seconds"}
    metrics |= {"fd_small", "is_small"}
    for method, views in (("text", 0), ("bolid", 0), ("bolid", 2)):
        assert {metric for of, *key, metric in rows if (of, *key) == ("val", method, views)} == metrics
    assert ("val, lora's people", "lora", 2, "body_sim") in rows
    assert rows["val", "text", 0, "clip_i"]["mean"] == pytest.approx(1), "compared with itself, image by image"
    assert rows["val", "bolid", 2, "clip_i"]["mean"] < 0.999


def test_the_sizes_are_noted(made: tuple[Path, Manifest], result: dict) -> None:
    sizes = Counter(size_of(prompt, made[1].train) for case in _cases(made) for prompt in case.prompts)
    [told] = [note for note in result["notes"] if "size" in note]
    assert told.startswith("Each image has the size at which its prompt's photo is trained, in pixels: ")
    assert {tuple(map(int, size.split("×"))) for size in told.rstrip(".").partition("pixels: ")[2].split(", ")} == set(
        sizes
    )


def test_the_base_alone_generates_the_sizes_of_the_manifest(made: tuple[Path, Manifest], result: dict) -> None:
    alone = evaluate(made[1], made[0], ["text"], views=(0, 2), sampling=FAST)
    assert _numbers(alone, "text") == _numbers(result, "text")
    squares = evaluate(write_manifest(made[0]), made[0], ["text"], views=(0, 2), sampling=FAST)
    assert _numbers(squares, "text") != _numbers(result, "text")


def test_beside_a_run_of_squares_all_are_squares_that_run_is_as_ever_and_it_is_said(
    made: tuple[Path, Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    alone = evaluate(made[1], made[0], ["square"], views=(1, 2), sampling=FAST)
    assert not [note for note in alone["notes"] if "square" in note]
    capsys.readouterr()
    together = evaluate(made[1], made[0], ["bolid", "square"], views=(1, 2), sampling=FAST)
    said = "All images are squares, because some runs were trained without buckets: square."
    assert said in together["notes"] and said in " ".join(capsys.readouterr().err.split())
    for method in ("text", "square"):
        assert _numbers(together, method) == _numbers(alone, method)
    squares = _generator((made[0], write_manifest(made[0])), _cases(made))
    [(_, generated)] = squares.generate(find_runs(made[0] / "runs", ["bolid"])[0], [1])
    assert {image_size(image) for image in generated.images} == {(64, 64)}


def _numbers(result: dict, method: str) -> list[dict]:
    """The rows of all people, without what depends on the machine's load."""
    rows = [row for row in result["rows"] if row["method"] == method and row["set"].endswith("/val")]
    return [row for row in rows if row["metric"] != "seconds"]
