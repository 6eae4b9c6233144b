"""Paints one posed person: legs, clothes, torso and arms; the head is in head.py."""

import numpy as np

from small_world.flat.head import draw_hair_behind, draw_head
from small_world.flat.paint import Canvas, Colour, Point
from small_world.flat.people import CLOTHES, Build, Outfit, Person
from small_world.flat.pose import Figure

SIDES = ("left", "right")


def draw_figure(canvas: Canvas, person: Person, outfit: Outfit, figure: Figure) -> None:
    """Paints `person` in `outfit` as posed in `figure`, from the farthest part to the nearest."""
    draw_hair_behind(canvas, person, figure)
    _legs(canvas, person, outfit, figure)
    _neck(canvas, person, figure)
    for side in SIDES:
        _upper_arm(canvas, person, outfit, figure, side)
    _torso(canvas, person, outfit, figure)
    for side in SIDES:
        _forearm(canvas, person, outfit, figure, side)
    draw_head(canvas, person, figure)


def _tone(colour: Colour, gain: float) -> Colour:
    return colour[0] * gain, colour[1] * gain, colour[2] * gain


def _legs(canvas: Canvas, person: Person, outfit: Outfit, figure: Figure) -> None:
    cloth = CLOTHES[outfit.bottom]
    width = person.build.leg_width * figure.camera.scale
    trousers = outfit.legs == "trousers"
    for side in SIDES:
        hip, knee, ankle, toe = (figure.joints[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "toe"))
        lower = hip + (knee - hip) * 0.10
        canvas.limb(ankle, toe, width * 0.52, width * 0.46, outfit.shoes)
        colour = cloth if trousers else person.skin
        if trousers:
            canvas.limb(knee, ankle, width * 0.86, width * 0.66, colour, cloth=True)
        else:
            calf = knee + (ankle - knee) * 0.32
            canvas.limb(calf, ankle, width * 0.68, width * 0.40, colour)
            canvas.limb(knee, calf, width * 0.66, width * 0.68, colour, joined=True)
        canvas.limb(
            lower, knee, width * 1.12, width * (0.86 if trousers else 0.66), colour, cloth=trousers, joined=True
        )
        if outfit.legs == "shorts":
            hem = hip + (knee - hip) * 0.62
            canvas.limb(lower, hem, width * 1.18, width * 1.08, cloth, cloth=True)
    _pelvis(canvas, person.build, outfit, figure)


def _pelvis(canvas: Canvas, build: Build, outfit: Outfit, figure: Figure) -> None:
    cloth = CLOTHES[outfit.bottom]
    edges = [(0.70, build.waist * 1.04), (0.86, build.seat * 0.96), (1.04, build.seat), (1.20, build.seat * 0.80)]
    if outfit.legs == "skirt":
        edges = [*edges[:3], (1.45, build.seat * 1.12), (1.78, build.seat * 1.22)]
    canvas.shape(_outline(figure, edges), build.seat * figure.camera.scale * 0.9, cloth, "cloth")


def _neck(canvas: Canvas, person: Person, figure: Figure) -> None:
    width = person.build.head * person.build.head_width * 0.36 * figure.camera.scale
    canvas.limb(figure.face(0, 0.3), figure.joints["neck"], width, width * 1.08, _tone(person.skin, 0.93))
    shoulder = _between(figure, -0.02)
    canvas.limb(figure.joints["neck"], shoulder, width * 1.1, width * 1.3, person.skin)


def _torso(canvas: Canvas, person: Person, outfit: Outfit, figure: Figure) -> None:
    build, cloth = person.build, CLOTHES[outfit.top]
    neck = build.head * build.head_width * 0.46
    edges = [
        (-0.115, neck), (-0.07, build.shoulders * 0.78), (0.0, build.shoulders * 1.12), (0.12, build.chest * 1.14),
        (0.34, build.chest), (0.62, build.waist), (0.86, build.seat * 1.0), (0.93, build.seat * 1.03),
    ]  # fmt: skip
    depth = build.chest * figure.camera.scale * 0.8
    canvas.shape(_outline(figure, edges), depth, cloth, "cloth")
    scale = figure.camera.scale
    canvas.spot(_between(figure, -0.105), neck * 0.98 * scale, neck * 0.75 * scale, person.skin, 1, edge=0.1)
    collar = [_between(figure, v) + _across(figure) * u for v, u in _ring(neck, 0.055)]
    canvas.line(np.array(collar), max(1.0, 0.004 * scale), _tone(cloth, 0.55), 0.8)


def _ring(half: float, drop: float) -> list[tuple[float, float]]:
    turns = np.linspace(0, np.pi, 9)
    return [(-0.105 + drop * 1.3 * float(np.sin(t)), half * float(np.cos(t))) for t in turns]


def _upper_arm(canvas: Canvas, person: Person, outfit: Outfit, figure: Figure, side: str) -> None:
    shoulder, elbow = figure.joints[f"{side}_shoulder"], figure.joints[f"{side}_elbow"]
    width = person.build.arm_width * figure.camera.scale
    cloth = CLOTHES[outfit.top]
    if outfit.sleeves == "long":
        canvas.limb(shoulder, elbow, width * 1.2, width * 0.98, cloth, cloth=True)
        return
    canvas.limb(shoulder, elbow, width * 1.12, width * 0.84, person.skin)
    if outfit.sleeves == "short":
        cuff = shoulder + (elbow - shoulder) * 0.5
        canvas.limb(shoulder, cuff, width * 1.2, width * 1.2, cloth, cloth=True)


def _forearm(canvas: Canvas, person: Person, outfit: Outfit, figure: Figure, side: str) -> None:
    elbow, wrist, hand = (figure.joints[f"{side}_{part}"] for part in ("elbow", "wrist", "hand"))
    width = person.build.arm_width * figure.camera.scale
    palm = wrist + (hand - wrist) * 0.45
    canvas.limb(wrist, palm, width * 0.58, width * 0.74, person.skin)
    canvas.limb(palm, hand, width * 0.70, width * 0.42, person.skin, joined=True)
    if outfit.sleeves == "long":
        canvas.limb(elbow, wrist, width * 0.98, width * 0.74, CLOTHES[outfit.top], cloth=True)
    else:
        canvas.limb(elbow, wrist, width * 0.84, width * 0.58, person.skin, joined=True)


def _across(figure: Figure) -> Point:
    """One stature across the body, in pixels, foreshortened as the body is turned (never flat: it has depth)."""
    yaw, tilt = np.radians(figure.pose.yaw), figure.camera.tilt
    width = figure.camera.scale * (0.25 + 0.75 * np.cos(yaw))
    return width * np.array([np.cos(tilt), np.sin(tilt)])


def _between(figure: Figure, along: float) -> Point:
    """A point of the spine: 0 between the shoulders, 1 between the hips."""
    joints = figure.joints
    down = figure.camera.scale * np.array([-np.sin(figure.camera.tilt), np.cos(figure.camera.tilt)])
    hips = (joints["left_hip"] + joints["right_hip"]) / 2
    # A raised arm lifts its shoulder, but not the top of the trunk.
    top = joints["neck"] + 0.032 * down
    return top + along * (hips - top)


def _outline(figure: Figure, edges: list[tuple[float, float]]) -> Point:
    """A trunk's closed outline from (place along the spine, half-width in statures)."""
    right = [_between(figure, v) - _across(figure) * half for v, half in edges]
    left = [_between(figure, v) + _across(figure) * half for v, half in edges]
    return np.array([*left, *right[::-1]])
