"""Captions from keypoints and colours, without a learned model: framing, arms, and the colours of hair, clothes and
background. What cannot be measured is left out."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
from PIL import Image

from bolid_data.curate.captions.captioner import no_instructions
from bolid_data.curate.measurers.measurer import Keypoints, Photo, describe_model
from bolid_data.weights import Weights

VERSION = 1
"""To be raised whenever a caption may change, so that photos are captioned again."""

SIDE = 512
VISIBLE = 0.5
"""Keypoints below this confidence are not visible."""

SAME_COLOUR = 16.0
"""Colours closer than this in Lab count as the same."""

NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = range(5)
SHOULDERS, ELBOWS, WRISTS, HIPS, KNEES, ANKLES = (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)

COLOURS = {
    "black": [(20, 20, 22)],
    "white": [(245, 245, 242)],
    "grey": [(128, 128, 128)],
    "light grey": [(195, 197, 200)],
    "dark grey": [(70, 72, 75)],
    "red": [(200, 30, 35), (150, 25, 35)],
    "orange": [(235, 125, 35)],
    "yellow": [(235, 205, 60)],
    "green": [(50, 140, 65), (30, 85, 50), (120, 170, 90)],
    "turquoise": [(30, 140, 145)],
    "blue": [(45, 90, 190), (70, 120, 180)],
    "light blue": [(150, 190, 225)],
    "navy": [(25, 35, 80)],
    "purple": [(110, 55, 145)],
    "pink": [(235, 150, 180), (220, 80, 140)],
    "brown": [(115, 75, 50)],
    "beige": [(215, 190, 155)],
}
HAIR = {
    "black": [(22, 19, 18)],
    "brown": [(66, 42, 26), (105, 72, 48)],
    "blond": [(205, 170, 110), (170, 135, 85)],
    "red": [(150, 65, 35), (125, 50, 22)],
    "grey": [(135, 135, 135), (175, 175, 173)],
    "white": [(228, 228, 225)],
}


class Describer:
    """Describes the pixels around the keypoints."""

    def __init__(self) -> None:
        self.model = describe_model(Weights("describe", Path(__file__), "", "MIT"), version=VERSION)
        self.prompt = ""

    def instructed(self, name: str, instruction: str) -> NoReturn:
        """Raises UsageError: it follows no instructions."""
        raise no_instructions(self.model.name, name)

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        """One sentence per photo; without keypoints, only the background is described."""
        return [_describe(photo.image, points) for photo, points in zip(photos, keypoints, strict=True)]


def _describe(image: Image.Image, keypoints: Keypoints | None) -> str:
    scale = min(1.0, SIDE / max(image.size))
    small = image.resize([max(1, round(n * scale)) for n in image.size], Image.Resampling.BILINEAR, reducing_gap=2.0)
    photo = LabPhoto(small, np.array(keypoints or np.zeros((17, 3))) * (scale, scale, 1))
    hair, arms, background = photo.hair(), photo.arms(), photo.background()
    clothes = [with_article(f"{photo.top()} top") if photo.top() else "", photo.bottom()]
    parts = [
        f"a {photo.framing()}photo of a person" + (f" with {hair} hair" if hair else ""),
        "in " + " and ".join(filter(None, clothes)) if any(clothes) else "",
        arms,
        f"against {background}" if background else "",
    ]
    return ", ".join(filter(None, parts))


class LabPhoto:
    """A reduced photo in Lab (h, w, 3), and its person's keypoints (17, 3) in the same pixels."""

    def __init__(self, image: Image.Image, keypoints: np.ndarray) -> None:
        self.lab = to_lab(np.asarray(image))
        self.points = keypoints[:, :2]
        width, height = image.size
        inside = ((self.points >= 0) & (self.points < (width, height))).all(1)
        self.visible = (keypoints[:, 2] >= VISIBLE) & inside

    def are_visible(self, *joints: int) -> bool:
        return bool(self.visible[list(joints)].all())

    def framing(self) -> str:
        if self.visible[list(ANKLES)].any():
            return "full-body "
        if self.visible[list(KNEES)].any():
            return "knees-up "
        if self.visible[list(HIPS)].any():
            return "waist-up "
        return "head-and-shoulders " if self.visible[list(SHOULDERS)].any() else ""

    def arms(self) -> str:
        if not self.are_visible(*SHOULDERS, *WRISTS):
            return ""
        wrists, shoulders = self.points[list(WRISTS)], self.points[list(SHOULDERS)]
        raised = int((wrists[:, 1] < shoulders[:, 1]).sum())
        if raised:
            return ["one arm raised", "arms raised"][raised - 1]
        if not self.are_visible(*ELBOWS, *HIPS):
            return ""
        # All in lengths of the torso; outwards is away from the person's centre, on either side.
        elbows, hips = self.points[list(ELBOWS)], self.points[list(HIPS)]
        torso = float(np.linalg.norm(shoulders.mean(0) - hips.mean(0))) + 1e-6
        outwards = np.sign(shoulders[:, 0] - shoulders[:, 0].mean())
        below = (wrists[:, 1] - hips[:, 1]) / torso
        beside = (wrists[:, 0] - hips[:, 0]) * outwards / torso
        reach = (wrists[:, 0] - elbows[:, 0]) * outwards / torso
        if (below > -0.2).all():
            return "arms down"
        if (reach > 0.25).all():
            return "arms spread"
        if (reach < -0.15).all() and (below > -0.8).all():
            return "hands on the hips" if (beside > 0.08).all() else "arms folded" if (beside < 0.08).all() else ""
        return ""

    def top(self) -> str:
        if not self.are_visible(*SHOULDERS):
            return ""
        shoulders = self.points[list(SHOULDERS)]
        middle, width = shoulders.mean(0), float(np.linalg.norm(shoulders[0] - shoulders[1]))
        hem = self.points[list(HIPS)].mean(0) if self.are_visible(*HIPS) else middle + np.array((0, 1.1 * width))
        return nearest(self._line(middle, hem, (0.25, 0.85), 0.22 * width), COLOURS)

    def bottom(self) -> str:
        if not self.are_visible(*HIPS):
            return ""
        thighs, shins = self._legs(HIPS, KNEES), self._legs(KNEES, ANKLES)
        if thighs is None:
            return ""
        colour = nearest(thighs, COLOURS)
        if shins is None:
            return f"{colour} bottoms"
        same_colour = np.linalg.norm(np.median(thighs, 0) - np.median(shins, 0)) < 2 * SAME_COLOUR
        return f"{colour} trousers" if same_colour else f"{colour} shorts or skirt"

    def _legs(self, upper: tuple[int, int], lower: tuple[int, int]) -> np.ndarray | None:
        pairs = [(a, b) for a, b in zip(upper, lower, strict=True) if self.are_visible(a, b)]
        bones = [(self.points[a], self.points[b]) for a, b in pairs]
        lines = [self._line(a, b, (0.3, 0.8), 0.07 * float(np.linalg.norm(a - b))) for a, b in bones]
        return np.concatenate(lines) if lines else None

    def hair(self) -> str:
        if not self.are_visible(NOSE, LEFT_EYE, RIGHT_EYE):
            return ""
        eyes, nose = self.points[[LEFT_EYE, RIGHT_EYE]], self.points[NOSE]
        middle = eyes.mean(0)
        eye_distance = float(np.linalg.norm(eyes[0] - eyes[1]))
        up = np.array([eyes[0][1] - eyes[1][1], eyes[1][0] - eyes[0][0]])
        up = up / (np.linalg.norm(up) + 1e-6) * (1 if up[1] < 0 else -1)
        crown = self._line(
            middle + up * 1.2 * eye_distance, middle + up * 1.8 * eye_distance, (0, 1), 0.4 * eye_distance
        )
        skin = self._line(middle, nose, (0.4, 1), 0.25 * eye_distance)
        background = self._surroundings()
        if eye_distance < 4 or not all(map(len, (crown, skin, background))):
            return ""
        # A colour like the skin's is a forehead; one like the background's is not a head at all.
        others = [np.median(skin, 0), np.median(background, 0)]
        difference = min(float(np.linalg.norm(np.median(crown, 0) - other)) for other in others)
        return nearest(crown, HAIR) if difference > SAME_COLOUR else ""

    def background(self) -> str:
        pixels = self._surroundings()
        if not len(pixels):
            return ""
        spread = np.median(np.linalg.norm(pixels - np.median(pixels, 0), axis=1))
        return with_article(f"{'plain ' if spread < 0.6 * SAME_COLOUR else ''}{nearest(pixels, COLOURS)} background")

    def _surroundings(self) -> np.ndarray:
        """Pixels (n, 3) beside and above the person."""
        height, width = self.lab.shape[:2]
        outside = np.ones((height, width), bool)
        if self.visible.any():
            low, high = self.points[self.visible].min(0), self.points[self.visible].max(0)
            margin = 0.12 * max(high - low) + 0.06 * width
            (left, top), (right, bottom) = low - margin, high + margin
            outside[max(0, int(top)) : max(0, int(bottom)), max(0, int(left)) : max(0, int(right))] = False
            outside[int(max(0, high[1])) :] = False  # below is the floor, or the person
        return self.lab[outside]

    def _line(self, start: np.ndarray, end: np.ndarray, part: tuple[float, float], radius: float) -> np.ndarray:
        """Pixels (n, 3) within `radius` of a part of the line from start to end."""
        mask = np.zeros(self.lab.shape[:2], np.uint8)
        a, b = (tuple(int(v) for v in start + (end - start) * share) for share in part)
        cv2.line(mask, a, b, 1, max(1, round(2 * radius)))
        return self.lab[mask > 0]


def with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB uint8 (h, w, 3) to CIE Lab float32, lightness 0..100."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def nearest(pixels: np.ndarray, names: dict[str, list[tuple[int, int, int]]]) -> str:
    """The name of the colour nearest (CIE76) to the median of Lab pixels (n, 3); "" for no pixels."""
    if not len(pixels):
        return ""
    labelled = [(name, colour) for name, colours in names.items() for colour in colours]
    palette = to_lab(np.array([[colour for _, colour in labelled]], np.uint8))[0]
    return labelled[int(np.linalg.norm(palette - np.median(pixels, 0), axis=1).argmin())][0]
