"""Random dropout of conditions in training, for classifier-free guidance (Ho and Salimans 2022)."""

from collections.abc import Sequence

from bolid_data.manifest import Train
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods.protocol import Method


def drop_at_random(
    method: Method, conditions: Sequence[str], inputs: UNetInputs, random: RowRandom, settings: Train
) -> UNetInputs:
    """In each row, drops all conditions with probability `drop_both`; else the text with `drop_text` or the first other
    condition with `drop_image`, not both; and every further one with `drop_image`, independently of these."""
    draw = random.uniform("drop")
    everything = draw < settings.drop_both
    others = [condition for condition in conditions if condition != "text"]
    dropped = {"text": everything | (draw < settings.drop_both + settings.drop_text)}
    for number, condition in enumerate(others):
        own_draw = random.uniform(f"drop {condition}") if number else draw
        dropped[condition] = everything | (own_draw >= 1 - settings.drop_image)
    for condition in conditions:
        inputs = method.drop(inputs, condition, dropped[condition])
    return inputs
