"""One photo: people, looks, poses, place, light and camera, drawn by seed or given; its picture and its truth."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bolid_data.synthetic.camera import FRAMINGS, Camera, frame_people
from bolid_data.synthetic.figure import Figure, build_figure
from bolid_data.synthetic.layers import expose
from bolid_data.synthetic.lens import Pixels, develop
from bolid_data.synthetic.light import Light, draw_light
from bolid_data.synthetic.looks import Look, draw_look
from bolid_data.synthetic.mesh import used
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.pieces import FURNITURE
from bolid_data.synthetic.place import OUTDOORS, Place, build_place
from bolid_data.synthetic.pose import Pose, draw_pose
from bolid_data.synthetic.truth import Truth, tell

_FRAMING = (0.42, 0.24, 0.2, 0.14)
_WIDE_ARMS = {"raised", "spread", "waving"}


@dataclass(frozen=True)
class Shot:
    """What may be fixed about a photo; the rest is drawn from its seed."""

    framing: str | None = None  # of `camera.FRAMINGS`
    yaw: float | None = None  # degrees of the main person: 0 faces the camera, 90 the picture's right
    look: Look | None = None  # of the main person
    pose: Pose | None = None
    place: str | None = None  # of `place.PLACES`
    focal: float | None = None  # millimetres of 35 mm film
    pitch: float | None = None  # degrees, positive: the camera looks down


@dataclass(frozen=True)
class Scene:
    """What stands before a camera."""

    figures: tuple[Figure, ...]  # the main person first
    place: Place
    light: Light
    camera: Camera
    framing: str


@dataclass(frozen=True)
class Photo:
    """A finished photo."""

    image: Pixels  # (H, W, 3) sRGB
    truth: Truth
    figures: tuple[Figure, ...] = field(repr=False)


def take_photo(
    people: Sequence[Person], seed: tuple[int, ...] | int, size: tuple[int, int], shot: Shot | None = None
) -> Photo:
    """A photo of people (the main one first; nobody is fine) in width × height pixels.

    The same arguments always give the same pixels, in every process.
    """
    rng, render_rng, lens_rng = np.random.default_rng(seed).spawn(3)
    scene = set_scene(rng, people, size, shot or Shot())
    film = expose(render_rng, scene.figures, scene.place, scene.light, scene.camera)
    image = develop(film.light, lens_rng)
    truth = tell(
        scene.figures, scene.place.name, scene.framing, scene.camera, film.parts, film.surfaces, film.owners
    )  # fmt: skip
    return Photo(image, truth, scene.figures)


def set_scene(rng: np.random.Generator, people: Sequence[Person], size: tuple[int, int], shot: Shot) -> Scene:
    """People (the main one first) in a place, and a camera of width × height pixels; what the shot does not fix is
    drawn."""
    framing = shot.framing or str(rng.choice(FRAMINGS, p=_FRAMING))
    place = build_place(rng, shot.place)
    light = draw_light(rng, place.name in OUTDOORS)
    figures = _figures(rng, people, shot, framing)
    return Scene(figures, place, light, _camera(rng, figures, framing, size, shot), framing)


def _yaw(rng: np.random.Generator) -> float:
    """Mostly from the front, sometimes from the side or behind."""
    if rng.random() < 0.62:
        return float(np.clip(rng.normal(0, 24), -70, 70))
    return float(rng.uniform(-180, 180))


def _figures(rng: np.random.Generator, people: Sequence[Person], shot: Shot, framing: str) -> tuple[Figure, ...]:
    figures = []
    reach = 0.0
    for index, person in enumerate(people):
        own = np.random.default_rng(rng.integers(2**63))
        yaw, look, pose = _yaw(own), draw_look(own, person.sex == "woman"), draw_pose(own)
        if index == 0:
            yaw = shot.yaw if shot.yaw is not None else yaw
            look, pose = _seated(own, person, shot.look or look, shot.pose or pose, shot)
        else:
            look, pose = _seated(own, person, look, pose, Shot())
        if len(people) > 1:  # side by side, towards the camera
            pose = draw_pose(own, "standing", str(own.choice(["down", "on hips", "folded", "clasped", "in pockets"])))
            yaw = float(own.normal(0, 14))
        elif shot.pose is None and framing in ("waist_up", "bust") and pose.arms in _WIDE_ARMS:
            pose = draw_pose(
                own,
                pose.stance if framing == "waist_up" else "standing",
                str(own.choice(["down", "folded", "on hips"])),
            )
        figure = build_figure(person, look, pose, yaw)
        if len(people) > 1:
            low, high = float(figure.mesh.vertices[:, 0].min()), float(figure.mesh.vertices[:, 0].max())
            figure = build_figure(person, look, pose, yaw, (reach - low, float(own.uniform(-0.08, 0.08))))
            reach += high - low + float(own.uniform(0.03, 0.15))
        figures.append(figure)
    if len(figures) > 1:  # the group stands around the origin
        return tuple(_moved(figure, -reach / 2) for figure in figures)
    return tuple(figures)


def _seated(rng: np.random.Generator, person: Person, look: Look, pose: Pose, shot: Shot) -> tuple[Look, Pose]:
    """Skirts, dresses and coats do not sit: who would in them stands, or wears trousers if the pose is fixed."""
    if pose.stance != "sitting" or not look.has_skirt:
        return look, pose
    if shot.pose is None:
        return look, draw_pose(rng, "standing", "clasped" if pose.arms == "on knees" else pose.arms)
    if shot.look is not None:
        raise ValueError("nobody sits in a skirt, dress or coat; give the shot another pose or look")
    return draw_look(rng, person.sex == "woman", top="shirt", legs="trousers"), pose


def _moved(figure: Figure, across: float) -> Figure:
    shift = np.array([across, 0, 0], np.float32)
    return replace(
        figure, mesh=replace(figure.mesh, vertices=figure.mesh.vertices + shift), joints=figure.joints + shift
    )


def _camera(
    rng: np.random.Generator, figures: Sequence[Figure], framing: str, size: tuple[int, int], shot: Shot
) -> Camera:
    if not figures:
        stature, width = 1.7, np.linspace(-0.3, 0.3, 5)
        points = np.array([[x, 0.0, z] for x in width for z in np.linspace(0, stature, 9)])
        return frame_people(rng, points, 0.0, True, size, "full", shot.focal, shot.pitch)
    persons = [
        mesh.vertices[used(mesh.faces[mesh.surfaces != FURNITURE], len(mesh.vertices))]
        for mesh in (figure.mesh for figure in figures)
    ]
    points = np.concatenate(persons)[::5]
    joints = figures[0].joints
    shoulders, hips, knees = joints[[5, 6], 2].mean(), joints[[11, 12], 2].mean(), joints[[13, 14], 2].mean()
    trunk = abs(shoulders - hips)
    if figures[0].stand.pose.stance == "sitting" and framing == "knees_up":
        knees = min(knees, hips) - 0.15
    low = {"full": 0.0, "knees_up": knees - 0.06, "waist_up": hips - 0.04, "bust": shoulders - 0.42 * trunk}[framing]
    low = float(low * rng.uniform(0.97, 1.03))
    whole = framing == "full" or len(figures) > 1
    if not whole:  # hands beside or above the head may be cut
        head = joints[[0, 1, 2, 3, 4]].mean(0)
        top = points[:, 2].max() if figures[0].stand.pose.arms in _WIDE_ARMS else head[2] + 0.16
        kept = points[points[:, 2] <= top]
        points = kept if len(kept) else points
    return frame_people(rng, points, low, whole, size, framing, shot.focal, shot.pitch)
