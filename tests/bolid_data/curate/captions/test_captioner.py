"""The embedded describer: describes what it can measure, and nothing else."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from bolid_data.curate.captions.captioner import Captioner
from bolid_data.curate.captions.registry import load_captioner
from bolid_data.curate.measurers.measurer import Keypoints, Photo
from bolid_data.errors import BolidError
from bolid_data.manifest import Manifest

SKIN, RED, BLUE, BROWN, GREY = (222, 170, 140), (200, 34, 38), (46, 92, 190), (60, 42, 32), (196, 198, 200)
HANGING = {9: (330, 690), 10: (170, 690), 7: (325, 520), 8: (175, 520)}
RAISED = {9: (360, 150), 10: (140, 150), 7: (380, 270), 8: (120, 270)}
FOLDED = {9: (240, 500), 10: (260, 520), 7: (370, 500), 8: (130, 500)}
SPREAD = {9: (490, 420), 10: (10, 420), 7: (410, 390), 8: (90, 390)}
AKIMBO = {9: (330, 560), 10: (170, 560), 7: (400, 500), 8: (100, 500)}


def figure(arms: dict[int, tuple[int, int]] = HANGING, shins: tuple[int, int, int] = BLUE) -> tuple[Photo, Keypoints]:
    """A flat person, 500×1200, and its keypoints."""
    joints = {
        0: (250, 210), 1: (268, 190), 2: (232, 190), 3: (290, 195), 4: (210, 195), 5: (320, 340), 6: (180, 340),
        11: (295, 640), 12: (205, 640), 13: (295, 860), 14: (205, 860), 15: (295, 1080), 16: (205, 1080), **arms,
    }  # fmt: skip
    image = Image.new("RGB", (500, 1200), GREY)
    pen = ImageDraw.Draw(image)
    pen.ellipse((190, 110, 310, 290), fill=BROWN)
    pen.ellipse((205, 165, 295, 285), fill=SKIN)
    pen.rectangle((180, 320, 320, 640), fill=RED)
    for hip, knee, ankle in ((11, 13, 15), (12, 14, 16)):
        pen.line((joints[hip], joints[knee]), BLUE, 70)
        pen.line((joints[knee], joints[ankle]), shins, 50)
    for shoulder, elbow, wrist in ((5, 7, 9), (6, 8, 10)):
        pen.line((joints[shoulder], joints[elbow], joints[wrist]), SKIN, 35)
    return Photo("flat", image), [[*map(float, joints[joint]), 0.9] for joint in range(17)]


def load(captioner: str, folder: Path = Path()) -> Captioner:
    source, names = {"kind": "folder", "path": "photos"}, {"caption": captioner}
    return load_captioner(
        Manifest.model_validate({"name": "set", "source": source, "models": names, "path": folder / "bolid.toml"})
    )


def describe(photo: Photo, keypoints: Keypoints | None) -> str:
    (caption,) = load("describe").caption([photo], [keypoints])
    return caption


def hide(keypoints: Keypoints, *joints: int) -> Keypoints:
    return [[x, y, 0.1 if joint in joints else c] for joint, (x, y, c) in enumerate(keypoints)]


def test_one_sentence_describes_all_that_is_visible() -> None:
    assert describe(*figure()) == (
        "a full-body photo of a person with brown hair, in a red top and blue trousers, arms down, "
        "against a plain light grey background"
    )


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        (HANGING, "arms down"),
        (RAISED, "arms raised"),
        (AKIMBO, "hands on the hips"),
        (FOLDED, "arms folded"),
        (SPREAD, "arms spread"),
        (HANGING | {9: (360, 150), 7: (380, 270)}, "one arm raised"),
    ],
)
def test_arms_are_described_from_their_joints(arms: dict[int, tuple[int, int]], words: str) -> None:
    photo, keypoints = figure(arms)
    assert words in describe(photo, keypoints).split(", ")


@pytest.mark.parametrize(
    ("hidden", "framing"),
    [
        ((), "full-body"),
        ((15, 16), "knees-up"),
        ((13, 14, 15, 16), "waist-up"),
        (range(11, 17), "head-and-shoulders"),
    ],
)
def test_framing_follows_the_lowest_visible_joint(hidden: tuple[int, ...], framing: str) -> None:
    photo, keypoints = figure()
    assert describe(photo, hide(keypoints, *hidden)).startswith(f"a {framing} photo of a person")


def test_bare_shins_are_not_called_trousers() -> None:
    assert "blue shorts or skirt" in describe(*figure(shins=SKIN))


def test_what_cannot_be_seen_is_left_out() -> None:
    photo, keypoints = figure()
    caption = describe(photo, hide(keypoints, 0, 1, 2, 5, 9, 13, 14, 15, 16))
    assert not any(word in caption for word in ("hair", "top", "trousers", "bottoms", "arm"))
    assert describe(photo, None).startswith("a photo of a person, against a ")


def test_a_caption_does_not_depend_on_the_photos_size() -> None:
    photo, keypoints = figure()
    large = Photo("large", photo.image.resize((1500, 3600)))
    assert describe(large, [[3 * x, 3 * y, c] for x, y, c in keypoints]) == describe(photo, keypoints)


def test_the_describer_has_a_name_and_an_id() -> None:
    model = load("describe").model
    assert model.name == "describe" and model.id.startswith("describe@")


def test_the_error_for_a_missing_model_says_how_to_download_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BolidError, match=r"hf download Salesforce/blip2-opt-2.7b"):
        load("Salesforce/blip2-opt-2.7b", tmp_path)
