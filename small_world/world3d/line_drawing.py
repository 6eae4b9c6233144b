"""The second renderer: lines and flat colours, without light or place, through a long lens with barrel distortion."""

from dataclasses import replace

import cv2
import numpy as np

from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.figure import Figure
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.photo import Photo, Scene, Shot, set_scene
from bolid_data.synthetic.render import Hits, Traced, from_camera
from bolid_data.synthetic.truth import tell
from small_world.world3d.barrel_camera import BarrelCamera

_FOCAL = (110.0, 160.0)  # millimetres; photos are taken with 32 to 85
_BARREL = 0.06
_SAMPLES = 2  # per pixel, along a side
_STEP = 0.04  # metres: a change in depth that gets a line
_FAR = 1e3  # metres: the background
_PIXEL = 0.01  # metres of the body that a pixel covers: details finer than that are not drawn
_INK = np.array((0.09, 0.08, 0.11), np.float32)


def draw_lines(person: Person, seed: tuple[int, ...], size: tuple[int, int], shot: Shot) -> Photo:
    """A drawing of a person in width × height pixels, as `take_photo` takes a photo. The place is always the studio,
    here a background of one colour, and the focal length is the drawing's own.

    The same arguments always give the same pixels, in every process.
    """
    rng, colour_rng, lens_rng = np.random.default_rng(seed).spawn(3)
    focal = float(np.exp(lens_rng.uniform(*np.log(_FOCAL))))
    scene = set_scene(rng, [person], size, replace(shot, place="studio", focal=focal))
    camera = BarrelCamera(**vars(scene.camera), barrel=_BARREL)
    return draw_scene(replace(scene, camera=camera), colour_rng.uniform(0.72, 0.97, 3).astype(np.float32))


def draw_scene(scene: Scene, background: Floats) -> Photo:
    """A drawing of a scene with one person; `background`: (3,) sRGB from 0 to 1."""
    camera, (figure,) = scene.camera, scene.figures
    rows, columns = camera.height * _SAMPLES, camera.width * _SAMPLES
    y, x = (np.mgrid[0:rows, 0:columns].reshape(2, -1) + 0.5) / _SAMPLES
    rays = camera.rays(x, y)
    hits = Traced(figure.mesh).hits(from_camera(camera, len(rays)), rays)

    def grid(values: np.ndarray, none: float) -> np.ndarray:
        """(rows, columns) the values (K,) at the hits."""
        result = np.full(rows * columns, none, values.dtype)
        result[hits.rays] = values
        return result.reshape(rows, columns)

    mesh = figure.mesh
    materials = grid(mesh.materials[hits.faces] + 1, 0)
    sheet = _palette(figure, hits, background)[materials]
    sheet[_outlines(materials, grid(hits.distance, _FAR))] = _INK
    image = cv2.resize(sheet, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    middle = (slice(_SAMPLES // 2, None, _SAMPLES),) * 2
    layers = [
        grid(values.astype(np.uint8), 0)[middle]
        for values in (mesh.parts[hits.faces], mesh.surfaces[hits.faces], np.ones(len(hits.faces)))
    ]
    truth = tell(scene.figures, scene.place.name, scene.framing, camera, *layers)
    return Photo((image * 255 + 0.5).astype(np.uint8), truth, scene.figures)


def _palette(figure: Figure, hits: Hits, background: Floats) -> Floats:
    """(1 + materials, 3) sRGB from 0 to 1: the background's, then each material's median where it is seen."""
    palette = np.tile(background, (len(figure.materials) + 1, 1))
    kinds = figure.mesh.materials[hits.faces]
    texture = hits.at(figure.mesh, figure.mesh.texture)
    for kind in np.unique(kinds):
        light = np.median(figure.materials[kind].colours(texture[kinds == kind], _PIXEL), axis=0)
        palette[kind + 1] = np.clip(light, 0, 1) ** (1 / 2.2)  # nearly sRGB
    return palette.astype(np.float32)


def _outlines(materials: np.ndarray, depth: Floats) -> np.ndarray:
    """(rows, columns) bool: lines where the material, and with it the surface, or the depth changes."""
    edge = np.zeros(materials.shape, np.uint8)
    for axis in (0, 1):
        before, after = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        step = np.abs(np.diff(depth, axis=axis)) > _STEP
        edge[before] |= step | (materials[before] != materials[after])
    return cv2.dilate(edge, np.ones((2, 2), np.uint8)) > 0
