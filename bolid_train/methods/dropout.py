"""Random dropout of conditions in training, for classifier-free guidance (Ho and Salimans 2022)."""

from collections.abc import Sequence

from bolid_data.manifest import Train
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods.protocol import Method


def drop_at_random(
    method: Method, conditions: Sequence[str], inputs: UNetInputs, random: RowRandom, settings: Train
) -> UNetInputs:
    """Drops the text with probability `drop_text`, every other condition, independently of the rest, with
    `drop_image`, and all of them with `drop_both`, in each row."""
    draw = random.uniform("drop")
    everything = draw < settings.drop_both
    others = [condition for condition in conditions if condition != "text"]
    dropped = {"text": everything | (draw < settings.drop_both + settings.drop_text)}
    for number, condition in enumerate(others):
        own = random.uniform(f"drop {condition}") if number else draw
        dropped[condition] = everything | (own >= 1 - settings.drop_image)
    for condition in conditions:
        inputs = method.drop(inputs, condition, dropped[condition])
    return inputs
