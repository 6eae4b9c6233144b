"""Writes the small world as an ordinary dataset: `python -m small_world.dataset --data data/small-world`.

`small_world/drawn_dataset.py` says what the dataset holds. With a seed of your own, other people are drawn in the style
of a split, whom nobody has seen; they are called `val`:

    python -m small_world.dataset --data data/fresh --splits test_a --seed 424242 --people 64
"""

from functools import partial

from bolid_data.manifest import Filter
from small_world import drawn_dataset
from small_world.drawn_dataset import World
from small_world.world.photos import SIDE, draw_split
from small_world.world.splits import CORPUS, HELD_OUT, SECOND_STYLE, SPLITS

WORLD = World(
    name="small-world",
    thresholds=Filter(min_width=SIDE, min_height=SIDE, min_photos_per_person=1),
    splits=SPLITS,
    models=(CORPUS, HELD_OUT, SECOND_STYLE),
    names={"train": "train", "validation": "val", "test_a": "test", "test_b": "test"},
    draw=draw_split,
)

write_dataset = partial(drawn_dataset.write_dataset, WORLD)

if __name__ == "__main__":
    drawn_dataset.command(WORLD, __doc__)
