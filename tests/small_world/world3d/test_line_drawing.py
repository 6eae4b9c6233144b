"""The second renderer draws the same body as the first, through another lens."""

import cv2
import numpy as np

from bolid_data.synthetic.camera import Camera
from bolid_data.synthetic.layers import expose
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Shot, set_scene
from bolid_data.synthetic.pieces import FURNITURE
from small_world.world3d.barrel_camera import BarrelCamera
from small_world.world3d.line_drawing import draw_lines, draw_scene

SIZE = (160, 160)


def test_a_scene_has_the_same_silhouette_joints_and_surfaces_as_a_photo_of_it() -> None:
    for number in range(3):
        person = draw_person(33_901, number)
        shot = Shot(("full", "knees_up", "bust")[number], yaw=75.0 * number)
        scene = set_scene(np.random.default_rng(number), [person], SIZE, shot)
        film = expose(np.random.default_rng(number), scene.figures, scene.place, scene.light, scene.camera)
        drawn = draw_scene(scene, np.full(3, 0.9, np.float32)).truth
        mask = (film.owners == 1) & (film.surfaces != FURNITURE)
        assert (mask & drawn.mask).sum() > 0.97 * (mask | drawn.mask).sum()
        assert (film.surfaces == drawn.surfaces).mean() > 0.98 and (film.parts == drawn.parts).mean() > 0.98
        assert np.allclose(
            drawn.people[0].keypoints[:, :2], scene.camera.project(scene.figures[0].joints)[:, :2], atol=0.01
        )


def test_a_drawing_has_flat_colours_and_dark_lines_on_one_background() -> None:
    drawn = draw_lines(draw_person(33_901, 1), (33_901, 1), SIZE, Shot("full", yaw=0.0))
    colours, counts = np.unique(drawn.image[drawn.truth.mask], axis=0, return_counts=True)
    assert np.sort(counts)[-6:].sum() > 0.6 * counts.sum(), "a few flat colours"
    assert colours.max(1).min() < 40, "ink"
    owned = cv2.dilate(drawn.truth.owners, np.ones((5, 5), np.uint8)) > 0
    (background,) = np.unique(drawn.image[~owned], axis=0)
    assert (drawn.image[drawn.truth.mask] != background).any(-1).mean() > 0.99
    assert drawn.truth.place == "studio"


def test_the_lens_is_longer_and_bends() -> None:
    axes = np.eye(3, dtype=np.float32)
    pinhole = Camera(np.zeros(3, np.float32), axes, 600.0, *SIZE, (4.0, -3.0))
    bent = BarrelCamera(**vars(pinhole), barrel=0.06)
    points = np.random.default_rng(0).uniform((-0.5, -0.5, 4), (0.5, 0.5, 6), (50, 3)).astype(np.float32)
    straight, seen = pinhole.project(points), bent.project(points)
    middle = np.array(SIZE) / 2
    inwards = np.linalg.norm(straight[:, :2] - middle, axis=1) - np.linalg.norm(seen[:, :2] - middle, axis=1)
    assert inwards.min() >= -1e-4 and inwards.max() > 1
    rays = bent.rays(seen[:, 0], seen[:, 1])
    assert np.allclose(rays, points / np.linalg.norm(points, axis=1, keepdims=True), atol=1e-4)
