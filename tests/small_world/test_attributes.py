from dataclasses import replace

import pytest
import torch

from bolid_train.embedded.attributes import CLASSES, load_attributes
from small_world.check.attributes import predict
from small_world.pixels import pixels
from small_world.training.attributes import Classifying
from small_world.world.captions import ATTRIBUTES, WORDS, from_labels
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT
from small_world.worlds import FLAT


@pytest.fixture(scope="module")
def photos() -> Photos:
    return draw_split(replace(HELD_OUT, people=4))


def test_what_captions_say_is_seen_on_photos_of_people_never_seen(photos: Photos) -> None:
    right = (predict(load_attributes(), photos) == torch.from_numpy(photos.labels)).float().mean(0)
    shares = dict(zip(ATTRIBUTES, right.tolist(), strict=True))
    assert {name for name in ("framing", "top", "bottom", "background") if shares[name] < 0.9} == set()
    assert right.mean() > 0.85


def test_a_prediction_reads_as_a_caption(photos: Photos) -> None:
    labels = load_attributes().predict(pixels(photos, torch.arange(1)))
    assert str(from_labels(labels[0].tolist())).startswith("a")


def test_a_photo_is_told_the_same_whatever_is_beside_it(photos: Photos) -> None:
    classifier = load_attributes()
    images = pixels(photos, torch.arange(8))
    alone = torch.cat([classifier.predict(image[None]) for image in images])
    assert torch.equal(classifier.predict(images), alone)


def test_training_lowers_the_loss(photos: Photos) -> None:
    torch.manual_seed(0)
    classifier = load_attributes().requires_grad_(True)
    for head in classifier.heads:
        head.reset_parameters()  # type: ignore[operator]
    loss = Classifying(classifier, FLAT, photos)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-3)
    values = []
    for _ in range(4):
        value = torch.stack(list(loss(torch.Generator().manual_seed(0)).values())).sum()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]


def test_the_classes_that_the_weights_were_trained_with_are_those_of_the_captions() -> None:
    assert CLASSES == WORDS
    assert list(CLASSES) == list(ATTRIBUTES)
