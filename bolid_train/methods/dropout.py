"""Conditions dropped at random in training, so that guidance knows what "without" means (Ho and Salimans 2022)."""

from torch import Tensor

from bolid_data.manifest import Train
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods.protocol import Method, Source


def drop_at_random(method: Method, inputs: UNetInputs, random: RowRandom, settings: Train) -> UNetInputs:
    """In each row, with the settings' chances, the text, the image (ref and body) or both are dropped."""
    draw = random.uniform("drop")
    both = draw < settings.drop_both
    text = both | (draw < settings.drop_both + settings.drop_text)
    image = both | (draw >= 1 - settings.drop_image)
    dropped: dict[Source, Tensor] = {"text": text, "ref": image, "body": image}
    for source, chosen in dropped.items():
        inputs = method.drop(inputs, source, chosen)
    return inputs
