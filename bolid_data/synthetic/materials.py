"""Colours of surfaces at points, from where these lie on the mean adult: skin with a face, eyes, hair, shoes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.body import Floats, body_model
from bolid_data.synthetic.cloth import cloth_colours
from bolid_data.synthetic.fields import HAIR_CENTRE, hairline_of
from bolid_data.synthetic.hair import beard_line
from bolid_data.synthetic.lens import to_linear
from bolid_data.synthetic.looks import CLOTHES, Cloth, Look
from bolid_data.synthetic.noise import grain, look_up, tile, waves
from bolid_data.synthetic.people import HAIR, Person


@dataclass(frozen=True)
class Material:
    """How a surface looks. Colours are linear."""

    colours: Callable[[Floats, float], Floats]
    """(N, 3) of texture coordinates (N, 3) and the metres that a pixel covers."""
    shine: float = 0.0  # strength of the highlight
    gloss: float = 20.0  # its exponent
    wrap: tuple[float, float, float] = (0.0, 0.0, 0.0)  # how far light reaches around, as through skin
    bumps: float = 0.0  # of folds
    strands: bool = False  # the highlight of hair


def materials_of(person: Person, look: Look) -> dict[str, Material]:
    """The materials of a person in a look, by the names that pieces have."""
    hair = to_linear(HAIR[person.hair])
    found = {
        "skin": Material(lambda at, size: _skin(at, size, person), 0.05, 14, (0.30, 0.14, 0.09)),
        "eyes": Material(lambda at, size: _eyes(at, person), 0.5, 220),
        "hair": Material(lambda at, size: _hair(at, size, hair), 0.10, 40, strands=True),
        "beard": Material(lambda at, size: _hair(at, size, hair * 0.9), 0.02, 20),
        "shoes": Material(lambda at, size: _shoes(at, size, look), 0.08, 30),
        "socks": Material(lambda at, size: _plain(at, to_linear((0.8, 0.8, 0.78)))),
        "hat": Material(lambda at, size: _plain(at, to_linear(CLOTHES[look.hat_colour])), bumps=0.1),
        "bag": Material(lambda at, size: _plain(at, to_linear(CLOTHES[look.bag_colour]) * 0.85), 0.06, 18, bumps=0.08),
        "glasses": Material(lambda at, size: _plain(at, to_linear((0.10, 0.09, 0.09))), 0.4, 60),
    }
    for name, cloth in look.cloth.items():
        heavy = 0.55 if name != "bottom" else 0.42
        found[name] = Material(_cloth(cloth, name, look), bumps=heavy)
    return found


def _cloth(cloth: Cloth, name: str, look: Look) -> Callable[[Floats, float], Floats]:
    return lambda at, size: cloth_colours(at, size, cloth, name, look)


def _plain(at: Floats, colour: Floats) -> Floats:
    shade = 1 + 0.05 * look_up(tile(), at[:, 0] * 3 + at[:, 1] * 2, at[:, 2] * 3)
    return colour * shade[:, None]


def _blob(distance: Floats) -> Floats:
    return np.exp(-np.square(distance))


def _soft(inside: Floats, width: float) -> Floats:
    """0 to 1 as a signed distance goes from -width to width."""
    return np.clip(0.5 + 0.5 * inside / width, 0, 1)


def _skin(at: Floats, size: float, person: Person) -> Floats:
    colour = np.broadcast_to(to_linear(person.skin), at.shape).copy()
    colour *= (1 + 0.035 * look_up(tile(), at[:, 0] * 2.3 + at[:, 1], at[:, 2] * 2.3))[:, None]
    face = np.flatnonzero((at[:, 2] > 0.69) & (at[:, 1] < 0.0))
    if len(face):
        colour[face] = _face(at[face], colour[face], max(size, 0.0004), person)
    if person.haircut not in ("bald",):
        scalp = np.flatnonzero(at[:, 2] > 0.74)
        colour[scalp] = _scalp(at[scalp], colour[scalp], person)
    return colour


def _scalp(at: Floats, colour: Floats, person: Person) -> Floats:
    """Roots of the hair, so that its edge is no line."""
    amount = _soft(-hairline_of(at) - 0.003 + 0.003 * waves(at, 500.0, 6), 0.003) * 0.75
    return colour * (1 - amount[:, None]) + to_linear(HAIR[person.hair]) * amount[:, None]


def _face(at: Floats, colour: Floats, size: float, person: Person) -> Floats:
    x, y, z = at.T
    side = np.abs(x)
    front = np.clip((-0.085 - y) / 0.02, 0, 1)
    red = 0.5 * _blob(np.hypot((side - 0.043) / 0.020, (z - 0.792) / 0.018)) + 0.7 * _blob(
        np.hypot(x / 0.016, (z - 0.795) / 0.014)
    ) * (y < -0.165)
    red = (red + 0.35 * _blob(np.hypot(x / 0.02, (z - 0.725) / 0.012))) * front
    colour = colour * (1 + red[:, None] * np.array([0.06, -0.13, -0.12]))
    colour *= 1 - 0.16 * (_blob(np.hypot((side - 0.030) / 0.021, (z - 0.829) / 0.014)) * front)[:, None] * np.array(
        [0.8, 1.0, 1.0]
    )
    # Lips: two arcs around the line of the mouth.
    u = np.clip(1 - (x / 0.0262) ** 2, 0, 1)
    upper = 0.7600 + 0.0070 * u**0.75 - 0.0012 * _blob(x / 0.0045)
    lower = 0.7600 - 0.0098 * u**0.8
    soft = max(0.0011, size * 0.6)
    lips = _soft(np.minimum(upper - z, z - lower), soft) * (u > 0) * (y < -0.13)
    colour = colour * (1 - 0.85 * lips[:, None]) + to_linear(person.lips) * (0.85 * lips[:, None])
    line = _blob((z - 0.7598) / max(0.0011, size * 0.5)) * u**0.5 * (y < -0.13)
    colour *= 1 - 0.55 * line[:, None]
    colour *= 1 - 0.5 * (_blob(np.hypot((side - 0.0075) / 0.0042, (z - 0.7845) / 0.0024)) * front)[:, None]
    return _brows_and_lashes(at, colour, size, person)


def _brows_and_lashes(at: Floats, colour: Floats, size: float, person: Person) -> Floats:
    x, y, z = at.T
    side = np.abs(x)
    hair = to_linear(HAIR[person.hair]) * (0.55 if person.hair in ("blond", "red", "grey") else 0.8)
    place = np.clip((side - 0.011) / 0.038, 0, 1)
    centre = 0.8465 + 0.0055 * np.sin(place**0.8 * np.pi * 0.8)
    half = (0.0036 if person.sex == "man" else 0.0028) * (1 - 0.62 * place**1.5)
    comb = 0.75 + 0.25 * look_up(grain(), (side * 14 - z * 9), place * 0.2)
    brow = _soft(half - np.abs(z - centre), max(0.0012, size * 0.6)) * ((side > 0.009) & (side < 0.050) & (y < -0.09))
    brow = np.clip(brow * comb * 1.15, 0, 0.92) * _soft(side - 0.0115, 0.003)
    colour = colour * (1 - brow[:, None]) + hair * brow[:, None]
    ring = np.hypot((side - 0.0303) / 0.0150, (z - 0.8303) / 0.0058)
    lash = _blob((ring - 1.02) / max(0.15, size * 40)) * np.where(z > 0.8303, 0.85, 0.35) * (y < -0.10)
    colour = colour * (1 - lash[:, None]) + np.array([0.012, 0.009, 0.008]) * lash[:, None]
    if person.beard != "none":
        shade = _soft(-beard_line(at) - 0.002, 0.006) * (0.38 if person.beard == "stubble" else 0.7)
        shade *= np.clip(1 + 0.25 * look_up(grain(), x * 9, z * 9), 0.3, 1.5)
        shade = np.clip(shade, 0, 0.9)[:, None]
        colour = colour * (1 - shade) + to_linear(HAIR[person.hair]) * 0.8 * shade
    return colour


def _eyes(at: Floats, person: Person) -> Floats:
    centre = body_model()["heads"][body_model().bone["eye.L"]]
    x, z = np.abs(at[:, 0]) - centre[0], at[:, 2] - centre[2]
    radius = np.hypot(x, z)
    white = np.array([0.62, 0.59, 0.56]) * (1 - 0.25 * np.clip((z - 0.002) / 0.005, 0, 1))[:, None]
    white = white * (1 - 0.22 * np.clip((np.abs(x) - 0.008) / 0.006, 0, 1)[:, None] * np.array([0.3, 1, 1]))
    iris = to_linear(person.eyes) * (0.75 + 0.5 * np.clip(radius / 0.006, 0, 1))[:, None]
    iris = iris * (1 - 0.65 * _soft(radius - 0.0052, 0.0006))[:, None]
    within = _soft(0.0060 - radius, 0.0004)[:, None]
    pupil = _soft(0.0024 - radius, 0.0004)[:, None]
    colour = white * (1 - within) + iris * within
    colour = colour * (1 - pupil) + 0.004 * pupil
    spark = _soft(0.0011 - np.hypot(at[:, 0] - np.sign(at[:, 0]) * centre[0] + 0.0019, z - 0.0021), 0.0004)[:, None]
    return colour * (1 - spark) + 0.95 * spark


def _hair(at: Floats, size: float, colour: Floats) -> Floats:
    x, y, z = (at - HAIR_CENTRE).T
    angle = np.arctan2(x, -y) / (2 * np.pi)
    bend = 0.02 * look_up(tile(), angle, z)
    wide = look_up(tile(), angle * 6 + bend, z * 0.35)
    fine = look_up(grain(), angle * 3 + bend * 2, z * 0.10 + 0.3 * np.hypot(x, y)) if size < 0.004 else 0.0
    shade = np.clip(0.95 + 0.20 * wide + 0.16 * fine, 0.3, 1.7)
    return colour * shade[:, None]


def strand_bumps(at: Floats) -> Floats:
    """(N,) how far strands turn a surface of hair sideways, about -1 to 1, at texture coordinates (N, 3)."""
    x, y, z = (at - HAIR_CENTRE).T
    angle = np.arctan2(x, -y) / (2 * np.pi)
    return 0.6 * look_up(tile(), angle * 4 + 0.3, z * 0.4) + 0.25 * look_up(grain(), angle * 1.3, z * 0.07)


def _shoes(at: Floats, size: float, look: Look) -> Floats:
    z = at[:, 2]
    colour = np.broadcast_to(to_linear(look.shoes.colour), at.shape).copy()
    ahead = at[:, 1]  # 0 at the toes; the third coordinate is 0 where the foot stands
    laces = (np.sin(ahead * 420) > 0.3) & (ahead < -0.09) & (ahead > -0.17) & (z > 0.05)
    if look.shoes.kind == "trainers":
        colour[laces] = to_linear((0.85, 0.85, 0.85))
    sole = (_soft(0.008 - z, 0.002) * (z > -0.1))[:, None]
    return colour * (1 - sole) + to_linear(look.shoes.sole) * sole
