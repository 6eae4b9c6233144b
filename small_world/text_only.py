"""Does the prior do what words ask? `python -m small_world.text_only --data data/small-world --run bolid-seed0`.

Bodies are drawn for a prompt and its opposite, painted by Lightning, and measured on the pictures. The base alone,
which never read such words, is painted with the same noise beside it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from scipy.stats import bootstrap
from torch import Tensor

from bolid_train.data.features.base_features import base_features
from bolid_train.data.features.batches import make_batch
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.preflight import usable_people
from bolid_train.data.proportions import PROPORTIONS, leg_length, shoulder_width
from bolid_train.data.sampler import PersonSampler
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.diffusion.lightning import STEPS
from bolid_train.evaluate.image_generator import to_pixels
from bolid_train.inference.pipeline import InferencePipeline, Person
from bolid_train.methods import adapter
from bolid_train.methods.adapter import run_folder
from bolid_train.methods.bolid.body_views import BodyViews
from bolid_train.methods.bolid.method import Bolid
from small_world.experiments import MANIFEST
from small_world.sdxl import LIGHTNING

PROMPTS = {
    "asked": "a full-body photo of a broad-shouldered, long-legged person, arms down, in a studio",
    "opposite": "a full-body photo of a narrow-shouldered, short-legged person, arms down, in a studio",
    "nothing said": "a full-body photo of a person, arms down, in a studio",
}
MEASURES = {"shoulders": shoulder_width, "legs": leg_length}


def sizes(pipeline: InferencePipeline, samples: int) -> dict[str, dict[str, Any]]:
    """Of drawn bodies and of the base alone, by prompt: mean width of the shoulders and length of the legs, in units of
    the trunk, with 95 % intervals."""
    detector, side = load_keypoints("tiny-keypoints"), pipeline.settings.resolution
    found = {}
    for scale, name in ((1.0, "drawn"), (0.0, "base alone")):
        pipeline.method.scale("ref", 0.0)
        pipeline.method.scale("body", scale)
        for asked, prompt in PROMPTS.items():
            batch = pipeline.batch(prompt, [Person()])
            images = [
                pipeline.generate(pipeline.conditions(batch, seed), STEPS, 0.0, seed, (side, side))
                for seed in range(samples)
            ]
            with torch.inference_mode():
                keypoints = detector(torch.stack([to_pixels(image) for image in images]))
            found[f"{name}, {asked}"] = {what: _mean(measure(keypoints)) for what, measure in MEASURES.items()}
    return found


def _mean(values: Tensor) -> list[float]:
    """Mean, low and high end of its 95 % interval; NaN is left out."""
    known = values[~values.isnan()].numpy()
    interval = bootstrap((known,), lambda x, axis: x.mean(axis=axis), random_state=0).confidence_interval
    return [round(float(value), 4) for value in (known.mean(), interval.low, interval.high)]


@torch.inference_mode()
def diversity(method: Bolid, cache: FeatureCache, shards: ShardDataset, samples: int) -> dict[str, float]:
    """Spread of each log proportion that drawn bodies tell, over that of the bodies of the people trained on; each body
    is drawn for a caption of one of them."""
    people = usable_people(shards, cache.settings)
    batch = make_batch(cache, PersonSampler(people, samples, 8, seed=0).items(0)).to(torch.device("cpu"))
    drawn = method.encoder.predict_proportions(method.prior.sample(batch.prompt_embeds, batch.random))
    encoded = method.encoder.predict_proportions(method.encoder(BodyViews.of(batch)).mean)
    ratios = drawn.std(0) / encoded.std(0)
    return {name: round(float(ratio), 3) for name, ratio in zip(PROPORTIONS, ratios, strict=True)}


def main() -> None:
    """Prints both as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--run", default="bolid-seed0")
    parser.add_argument("--samples", type=int, default=100)
    arguments = parser.parse_args()
    folder = run_folder(arguments.data, arguments.run)
    pipeline = InferencePipeline.from_run(folder, adapter.read(folder), MANIFEST.parent, lightning_file=LIGHTNING)
    assert isinstance(pipeline.method, Bolid)
    settings = pipeline.settings
    features = [*base_features(settings), *pipeline.features]
    cache = FeatureCache(arguments.data / "features", Base.resolve(settings, MANIFEST.parent), settings, features)
    spread = diversity(pipeline.method, cache, ShardDataset(arguments.data / "shards"), 4 * arguments.samples)
    print(json.dumps({**sizes(pipeline, arguments.samples), "spread of proportions": spread}, indent=2))


if __name__ == "__main__":
    main()
