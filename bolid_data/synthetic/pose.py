"""Poses by a few angles and names, within the limits of joints."""

from dataclasses import dataclass

import numpy as np

STANCES = ("standing", "contrapposto", "walking", "sitting", "leaning", "lunging")
ARMS = (
    "down", "raised", "on hips", "folded", "spread", "waving", "in pockets", "behind the back", "one hand on the hip",
    "holding a phone", "hand at the chin", "clasped", "swinging", "on knees",
)  # fmt: skip
LIMITS = {
    "elbow": (3.0, 148.0),
    "knee": (0.0, 125.0),
    "hip": (-30.0, 105.0),
    "trunk": (-15.0, 35.0),
    "wrist": (0.0, 65.0),
}
"""Degrees of flexion that joints may have."""


@dataclass(frozen=True)
class Pose:
    """What is decided about a pose. Degrees; a lean is to the front, a bend and a turn are to the person's left."""

    stance: str
    arms: str
    lean: float
    bend: float
    turn: float
    head: tuple[float, float, float]  # nod down, tilt, turn against the trunk
    hips: tuple[float, float]  # flexion of left and right
    knees: tuple[float, float]
    spread: tuple[float, float]  # of the legs to the outside
    tilt: float  # of the whole body to its left
    hands: tuple[float, float]  # curl of the fingers
    side: int  # 0: what one arm does, the left one does
    looseness: float  # distance of hanging hands from the thighs, metres
    expression: tuple[tuple[str, float], ...]
    seed: int  # of what is left: where exactly hands are

    def has_fist(self, left: bool) -> bool:
        """Whether a hand is on the hip, as a fist."""
        return self.arms == "on hips" or (self.arms == "one hand on the hip" and (self.side == 0) == left)


def draw_pose(rng: np.random.Generator, stance: str | None = None, arms: str | None = None) -> Pose:
    """A random pose, of one stance or arms if named."""
    stance = stance or str(rng.choice(STANCES, p=(0.3, 0.26, 0.18, 0.1, 0.09, 0.07)))
    if arms is None:
        allowed = [name for name in ARMS if (name == "on knees") <= (stance == "sitting")]
        weights_ = np.array(
            [4.0 if (name, stance) in (("swinging", "walking"), ("on knees", "sitting")) else 1.0 for name in allowed]
        )
        weights_[allowed.index("down")] = 2.5
        arms = str(rng.choice(allowed, p=weights_ / weights_.sum()))
    side = int(rng.integers(2))
    hips, knees, spread = _legs(rng, stance, side)
    smile = float(np.clip(rng.normal(0.35, 0.4), 0, 1))
    return Pose(
        stance=stance,
        arms=arms,
        lean=float(rng.uniform(0, 8) if stance in ("walking", "sitting") else rng.normal(0, 2.5)),
        bend=float(rng.normal(0, 3)) if stance != "contrapposto" else (6.0 if side else -6.0),
        turn=float(rng.normal(0, 7)),
        head=(float(rng.normal(1, 5)), float(rng.normal(0, 5)), float(rng.normal(0, 11))),
        hips=hips,
        knees=knees,
        spread=spread,
        tilt=(8.0 if side else -8.0) if stance == "leaning" else 0.0,
        hands=(float(rng.uniform(5, 40)), float(rng.uniform(5, 40))),
        side=side,
        looseness=float(rng.uniform(0.03, 0.11)),
        expression=(("smile", smile), ("brows_up", float(np.clip(rng.normal(0, 0.3), 0, 0.8))),
                    ("blink", float(np.clip(rng.normal(0.05, 0.1), 0, 0.3)))),
        seed=int(rng.integers(2**31)),
    )  # fmt: skip


def _legs(
    rng: np.random.Generator, stance: str, side: int
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Flexion of hips and knees, and how far legs are spread, left and right."""
    apart = rng.uniform(-5, 3)
    if stance == "walking":
        stride = rng.uniform(14, 26)
        hips, knees = (stride, -stride * 0.7), (rng.uniform(4, 12), rng.uniform(18, 38))
        apart = -5.5
    elif stance == "sitting":
        hips = (rng.uniform(78, 92), rng.uniform(78, 92))
        knees = (rng.uniform(70, 100), rng.uniform(70, 100))
        apart = rng.uniform(0, 10)
    elif stance == "contrapposto":
        hips, knees = (-1.0, rng.uniform(10, 18)), (1.0, rng.uniform(18, 32))
    elif stance == "lunging":
        hips, knees = (rng.uniform(25, 42), rng.uniform(-16, -8)), (rng.uniform(35, 55), rng.uniform(5, 18))
    else:
        hips, knees = (rng.normal(0, 2), rng.normal(0, 2)), (rng.uniform(0, 5), rng.uniform(0, 5))
    spread = (apart, apart + rng.normal(0, 1))
    order = (0, 1) if side == 0 else (1, 0)
    values = [tuple(float(np.clip(pair[i], *limits)) for i in order)
              for pair, limits in ((hips, LIMITS["hip"]), (knees, LIMITS["knee"]), (spread, (-8.0, 25.0)))]  # fmt: skip
    return values[0], values[1], values[2]  # type: ignore[return-value]
