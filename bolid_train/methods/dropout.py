"""Random dropout of conditions in training, for classifier-free guidance (Ho and Salimans 2022)."""

from torch import Tensor

from bolid_data.manifest import Train
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods.protocol import Condition, Method


def drop_at_random(method: Method, inputs: UNetInputs, random: RowRandom, settings: Train) -> UNetInputs:
    """Drops the text, the image (ref and body) or both in each row, with the settings' probabilities."""
    draw = random.uniform("drop")
    both = draw < settings.drop_both
    text = both | (draw < settings.drop_both + settings.drop_text)
    image = both | (draw >= 1 - settings.drop_image)
    dropped: dict[Condition, Tensor] = {"text": text, "ref": image, "body": image}
    for condition, rows in dropped.items():
        inputs = method.drop(inputs, condition, rows)
    return inputs
