"""One photo of the gallery: people, pose and scene, composed, painted and finished like a camera's picture."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from small_world.flat.figure import draw_figure
from small_world.flat.head import COVERS_EARS
from small_world.flat.paint import Canvas, Light, Pixels, rgb
from small_world.flat.people import Outfit, Person
from small_world.flat.pose import ARMS, COCO, Camera, Figure, Pose, draw_pose, place
from small_world.flat.scenes import SCENES, draw_scene

FRAMINGS = {"full": 0.45, "knees_up": 0.35, "bust": 0.2}
"""How much of a person is shown, and with which probability."""
# Painted at this fraction of the final size and enlarged: as soft as a photo, in less than half the time.
_PAINT_SCALE = 0.62
# Other arms would leave the picture, and hands would reappear without an arm.
_ARMS = {"full": ARMS, "knees_up": tuple(arms for arms in ARMS if arms != "spread"), "bust": ("down", "folded")}
_REACH = {"raised": 0.13, "waving": 0.13}  # how far hands stand above the crown, in statures


@dataclass(frozen=True)
class Shot:
    """What is decided before a photo is drawn; the rest follows from `seed`. Without people, only the scene."""

    people: tuple[Person, ...]  # the main one first
    framing: str
    size: tuple[int, int]  # width, height
    seed: tuple[int, ...]
    scenes: tuple[str, ...] = tuple(SCENES)  # one of these
    canvas: type[Canvas] = Canvas  # how it is painted


@dataclass(frozen=True)
class DrawnPhoto:
    """A drawn photo and the truth about its main person."""

    image: Image.Image
    keypoints: list[list[float]] | None  # 17 × (x, y, visible), COCO order, pixels of the image
    facts: dict[str, str] | None


def draw_photo(shot: Shot) -> DrawnPhoto:
    """Draws a shot; the same shot gives the same pixels."""
    rng = np.random.default_rng(shot.seed)
    width, height = (round(side * _PAINT_SCALE) for side in shot.size)
    # An empty studio is a grey blur, in which the pose model may detect anything.
    scene = str(rng.choice([name for name in shot.scenes if shot.people or name != "studio"]))
    canvas = shot.canvas(draw_scene(rng, (height, width), scene), _light(rng), rng)
    drawn: tuple[Figure, Outfit] | None = None
    cameras = _cameras(rng, shot, (width, height))
    # The main person, about whom the truth is, is painted last and so in front.
    for person, (camera, arms) in reversed(list(zip(shot.people, cameras, strict=True))):
        outfit = person.outfits[int(rng.integers(len(person.outfits)))]
        figure = place(person.build, draw_pose(rng, arms), camera)
        _ground(canvas, figure)
        draw_figure(canvas, person, outfit, figure)
        drawn = figure, outfit
    image = _develop(canvas.pixels, shot.size, rng)
    if drawn is None:
        return DrawnPhoto(image, None, None)
    figure, outfit = drawn
    main = shot.people[0]
    facts = {
        "top": outfit.top,
        "bottom": outfit.bottom,
        "hair": main.hair,
        "arms": figure.pose.arms,
        "background": scene,
    }
    return DrawnPhoto(image, _keypoints(figure, main, shot.size), facts)


def _light(rng: np.random.Generator) -> Light:
    direction = np.array([rng.uniform(-0.6, 0.6), rng.uniform(-0.55, -0.15), 0.8])
    x, y, z = direction / np.linalg.norm(direction)
    return Light((float(x), float(y), float(z)), float(rng.uniform(0.38, 0.55)))


def _cameras(rng: np.random.Generator, shot: Shot, size: tuple[int, int]) -> list[tuple[Camera, str]]:
    """A camera and the arms' pose for each of the shot's people."""
    count = len(shot.people)
    if count == 0:
        return []
    if count == 1:
        arms = str(rng.choice(_ARMS[shot.framing]))
        return [(_camera(rng, shot.framing, arms, size, 0.5 + rng.uniform(-0.08, 0.08)), arms)]
    gap = rng.uniform(0.7, 0.95) / count
    places = [0.5 + gap * (index - (count - 1) / 2) + rng.uniform(-0.01, 0.01) for index in range(count)]
    choices = [str(rng.choice(["down", "on hips", "folded"])) for _ in places]
    order = rng.permutation(count)
    return [(_camera(rng, shot.framing, choices[i], size, places[i]), choices[i]) for i in order]


def _camera(rng: np.random.Generator, framing: str, arms: str, size: tuple[int, int], centre: float) -> Camera:
    width, height = size
    shown = {"full": 1.0, "knees_up": rng.uniform(0.76, 0.84), "bust": rng.uniform(0.43, 0.52)}[framing]
    above = _REACH.get(arms, 0.0)  # room for the hands, in statures
    top, bottom = rng.uniform(0.05, 0.09), rng.uniform(0.03, 0.06) if framing == "full" else 0.0
    scale = height * (1 - top - bottom) / (shown + above)
    if arms == "spread":  # spread arms must fit the width
        scale = min(scale, width * rng.uniform(0.97, 1.04))
        top = 1 - bottom - scale / height
    tilt = float(np.radians(rng.normal(0, 1.6)))
    return Camera(width * centre + scale * shown / 2 * np.sin(tilt), height * top + above * scale, scale, tilt)


def _ground(canvas: Canvas, figure: Figure) -> None:
    """The shadow beneath the feet; outside the picture where the feet are."""
    scale = figure.camera.scale
    feet = (figure.joints["left_toe"] + figure.joints["right_toe"]) / 2
    canvas.spot(feet - np.array([0, 0.006 * scale]), 0.19 * scale, 0.03 * scale, (0.03, 0.03, 0.03), 0.6)
    for side in ("left", "right"):
        foot = (figure.joints[f"{side}_ankle"] + figure.joints[f"{side}_toe"]) / 2
        canvas.spot(foot + np.array([0, 0.022 * scale]), 0.06 * scale, 0.018 * scale, (0.02, 0.02, 0.02), 0.7)


def _develop(pixels: Pixels, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Tints, enlarges and adds grain."""
    warmth, gain = rng.uniform(-0.04, 0.04), rng.uniform(0.92, 1.08)
    tinted = pixels * rgb(255 * gain * (1 + warmth), 255 * gain, 255 * gain * (1 - warmth))
    large = cv2.resize(np.clip(tinted, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        large = cv2.GaussianBlur(large, (0, 0), float(rng.uniform(0.5, 0.9)))
    grain = rng.standard_normal((size[1], size[0]), dtype=np.float32) * np.float32(rng.uniform(1.5, 4.5))
    return Image.fromarray(cv2.add(large, cv2.merge([grain.astype(np.int16)] * 3), dtype=cv2.CV_8U))


def _keypoints(figure: Figure, person: Person, size: tuple[int, int]) -> list[list[float]]:
    """The joints in COCO's order, in pixels of the finished photo; visible if inside it and not covered by hair."""
    points = []
    for name in COCO:
        x, y = (float(value) / _PAINT_SCALE for value in figure.joints[name])
        inside = 0 <= x < size[0] and 0 <= y < size[1]
        points.append([round(x, 1), round(y, 1), int(inside and not _hidden(name, person, figure.pose))])
    return points


def _hidden(name: str, person: Person, pose: Pose) -> bool:
    if not name.endswith("ear"):
        return False
    turn = pose.yaw + pose.head_yaw
    return person.haircut in COVERS_EARS or (turn > 18 and name == "left_ear") or (turn < -18 and name == "right_ear")
