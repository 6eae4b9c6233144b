"""Pictures of people seen in training, made at the end of a run so that one can look at what it learnt."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from bolid_train.batches import PersonSampler
from bolid_train.conditioning.protocol import SOURCES, Method
from bolid_train.features import FeatureCache
from bolid_train.sampler import sample
from bolid_train.views import Sample

_PEOPLE, _STEPS, _GUIDANCE = 2, 10, 5.0


def validate(
    cache: FeatureCache,
    method: Method,
    unet: UNet2DConditionModel,
    people: dict[str, list[Sample]],
    folder: Path,
    seed: int,
) -> None:
    """Writes `<sample's hash>.png` to `folder` for a few captions; `method` is installed on `unet`.

    Captions, references and views come from the feature cache: no text encoder is loaded.
    """
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    pipe = cache.base.pipeline(unet.device, unet=unet, **texts)
    folder.mkdir(exist_ok=True)
    for pick in PersonSampler(people, min(_PEOPLE, len(people)), cache.settings.views, seed).picks(0):
        with torch.inference_mode(), torch.autocast(unet.device.type, torch.bfloat16, unet.device.type != "cpu"):
            positive = negative = method.condition(cache.batch([pick]).to(unet.device))
            for source in SOURCES:
                negative = method.drop(negative, source)
            image = sample(pipe, positive, negative, _STEPS, _GUIDANCE, cache.settings.resolution, seed)
        image.save(folder / f"{pick.target.sha256[:16]}.png")
