"""The doctor counts what a training would be on, and refuses what would be wrong."""

import dataclasses
import json
from pathlib import Path

import pytest

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Train
from bolid_train.data import preflight
from bolid_train.data.preflight import Subject
from bolid_train.data.shard_dataset import ShardDataset
from tests.support.drawn_shards import Row, draw_person, drawn_people, write_manifest, write_shards


def _shards(folder: Path, people: dict[str, list[Row]]) -> ShardDataset:
    write_shards(folder / "shards", people)
    return ShardDataset(folder / "shards")


def _settings(folder: Path, **train: object) -> Train:
    return write_manifest(folder, **train).train


def test_the_report_counts_people_and_what_is_odd(tmp_path: Path) -> None:
    people = drawn_people({"anna": 4, "boris": 3, "clara": 1})
    split, jpeg, keypoints, _ = people["anna"][0]
    people["anna"][0] = (split, jpeg, keypoints, " ")
    people["boris"][0] = (*people["boris"][0][:2], None, "no pose")
    people["boris"][1] = (*people["boris"][1][:2], [[x, y, 0.1] for x, y, _ in keypoints], "unsure")
    people["anna"].append(people["clara"][0])
    report = preflight.examine(_shards(tmp_path, people), _settings(tmp_path, resolution=256))
    assert dataclasses.asdict(report) == {
        "people": 3,
        "photos": 7,
        "people_with_one_photo": 2,
        "photos_without_visible_keypoints": 2,
        "photos_without_caption": 1,
        "photos_smaller_than_resolution": 7,
        "people_in_two_splits": 0,
        "photos_in_two_splits": 0,
        "photos_of_two_people": 1,
    }
    line = str(report)
    assert line.startswith("3 people, 7 photos; 2 people with one photo, ")
    assert not any(name in line + json.dumps(dataclasses.asdict(report)) for name in people)


def test_a_dataset_in_order_has_nothing_odd(tmp_path: Path) -> None:
    report = preflight.examine(_shards(tmp_path, drawn_people({"anna": 2, "boris": 3})), _settings(tmp_path))
    assert str(report) == "2 people, 5 photos; nothing unusual"


def test_a_person_in_two_splits_is_refused(tmp_path: Path) -> None:
    people = drawn_people({"anna": 3, "boris": 2})
    people["anna"][0] = ("val", *people["anna"][0][1:])
    with pytest.raises(BolidError, match="leaks: 1 people and 0 photos are in more than one split"):
        preflight.examine(_shards(tmp_path, people), _settings(tmp_path))


def test_a_photo_in_two_splits_is_refused(tmp_path: Path) -> None:
    people = drawn_people({"anna": 3, "boris": 2})
    people["boris"] = [("val", *row[1:]) for row in people["boris"]]
    people["boris"].append(("val", *people["anna"][0][1:]))
    with pytest.raises(BolidError, match="leaks: 0 people and 1 photos"):
        preflight.examine(_shards(tmp_path, people), _settings(tmp_path))


def test_no_one_in_the_train_split_is_refused(tmp_path: Path) -> None:
    shards = _shards(tmp_path, drawn_people({"anna": 2}, "val"))
    with pytest.raises(BolidError, match=r"no one in split 'train'.*\[shards\] splits"):
        preflight.examine(shards, _settings(tmp_path))


def test_photos_that_show_no_keypoint_are_refused(tmp_path: Path) -> None:
    shards = _shards(tmp_path, {"anna": [("train", draw_person(0)[0], None, "a")]})
    with pytest.raises(BolidError, match=r"no photo in split 'train' .* has a visible keypoint"):
        preflight.examine(shards, _settings(tmp_path))


def test_one_photo_of_each_person_is_refused_where_views_are_needed(tmp_path: Path) -> None:
    shards = _shards(tmp_path, drawn_people({"anna": 1, "boris": 1}))
    with pytest.raises(BolidError, match=r"no one in split 'train' .* has a second usable photo"):
        preflight.examine(shards, _settings(tmp_path), photos_per_person=2)
    assert preflight.examine(shards, _settings(tmp_path)).people_with_one_photo == 2
    assert preflight.examine(shards, _settings(tmp_path), Subject("anna")).photos == 1


def test_a_lora_is_trained_on_one_person_of_whatever_split(dataset: Path, tmp_path: Path) -> None:
    shards = ShardDataset(dataset / "shards")
    for person, photos in (("boris", 3), ("daria", 2)):
        people = preflight.usable_people(shards, _settings(tmp_path), subject=Subject(person))
        assert {name: len(own) for name, own in people.items()} == {person: photos}


def test_a_lora_of_nobody_names_who_is_near(dataset: Path, tmp_path: Path) -> None:
    shards = ShardDataset(dataset / "shards")
    with pytest.raises(UsageError, match="no such person; the nearest are boris"):
        preflight.usable_people(shards, _settings(tmp_path), subject=Subject("borris"))
    with pytest.raises(UsageError, match=r"name them in \[train.lora\] person"):
        preflight.usable_people(shards, _settings(tmp_path, method="lora"), subject=Subject(None))


def test_a_lora_may_be_trained_on_some_photos_alone(dataset: Path, tmp_path: Path) -> None:
    shards = ShardDataset(dataset / "shards")
    chosen = [photo.sha256 for photo in shards.people("train")["boris"]][::2]
    settings, subject = _settings(tmp_path), Subject("boris", chosen)
    assert [photo.sha256 for photo in preflight.usable_people(shards, settings, subject=subject)["boris"]] == chosen
    assert preflight.examine(shards, settings, subject).photos == 2
    other = shards.people("train")["anna"][0].sha256
    with pytest.raises(UsageError, match=f"has no photo {other} of 'boris'"):
        preflight.usable_people(shards, settings, subject=Subject("boris", [other]))
    with pytest.raises(UsageError, match=r"train.lora.photos"):
        _settings(tmp_path, method="lora", person="boris", photos=["no hash"])


def test_people_of_another_split_are_found_too(dataset: Path, tmp_path: Path) -> None:
    assert list(preflight.usable_people(ShardDataset(dataset / "shards"), _settings(tmp_path), "test")) == ["daria"]
