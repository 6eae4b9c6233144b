"""Writes the small world in three dimensions as an ordinary dataset:

    python -m small_world.world3d.dataset --data data/small-world-3d

`small_world/drawn_dataset.py` says what the dataset holds. The true measures of each photo's person stand in the index:

    SELECT person, measures['waist_girth'] FROM samples    -- in shards/index.duckdb; metres, kilograms, kg/m²

With a seed of your own, other people are drawn in the style of a split, whom nobody has seen; they are called `val`:

    python -m small_world.world3d.dataset --data data/fresh-3d --splits test_a --seed 424242 --people 64
"""

from functools import partial

from bolid_data.manifest import Filter
from small_world import drawn_dataset
from small_world.drawn_dataset import World
from small_world.world3d.photos import SIDE, Photos, draw_split
from small_world.world3d.splits import MODELS, SPLITS

WORLD = World(
    name="small-world-3d",
    # Few joints are seen of a head and shoulders from behind.
    thresholds=Filter(min_width=SIDE, min_height=SIDE, min_keypoints=0, min_photos_per_person=1),
    splits=SPLITS,
    models=tuple(MODELS.values()),
    names={"train": "train", "validation": "val", "test_a": "test", "test_b": "test", "test_c": "test"},
    draw=draw_split,
    body_measures=Photos.body,
)

write_dataset = partial(drawn_dataset.write_dataset, WORLD)

if __name__ == "__main__":
    drawn_dataset.command(WORLD, __doc__)
