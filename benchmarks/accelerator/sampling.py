"""Generating with a finished run, against the base alone in stock diffusers."""

import time
from functools import partial

import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from benchmarks.accelerator.page import Page, Table
from benchmarks.accelerator.timing import free_memory, measure
from benchmarks.accelerator.workbench import Workbench
from bolid_train.data import preflight
from bolid_train.inference.pipeline import InferencePipeline, Person
from bolid_train.inference.reference_photos import ReferencePhoto
from bolid_train.methods import adapter
from bolid_train.methods.adapter import run_folder

_PROMPT = "a photo of a person on a beach"
_SAMPLINGS = ((30, 5.0), (4, 0.0))  # steps and guidance
_COLUMNS = ("what", "steps", "guidance", "s an image", "peak GB")


def measure_sampling(bench: Workbench, page: Page) -> None:
    """`bolid generate` from a photo, in 30 steps with guidance and in 4 without, loading excluded."""
    training = bench.training(bench.manifest())
    manifest = bench.manifest()
    folder = run_folder(bench.data, "sampled")
    folder.mkdir(parents=True, exist_ok=True)
    adapter.publish(folder, training.method, training.settings, training.cache.base, 0, [], bench.data)
    [sample, *_] = next(iter(preflight.usable_people(bench.shards, manifest.train).values()))
    person = Person([ReferencePhoto(bench.shards.photo(sample), sample.keypoints)])
    bench.release()
    del training
    free_memory()
    started_at = time.perf_counter()
    pipeline = InferencePipeline.from_run(folder, adapter.read(folder), manifest.folder)
    page.note(f"The run was loaded in {time.perf_counter() - started_at:.1f} s, UNet in {pipeline.pipe.unet.dtype}.")
    table = page.table(*_COLUMNS)
    side = pipeline.settings.resolution
    conditions = pipeline.conditions(pipeline.batch(_PROMPT, [person]), 0)
    for steps, guidance in _SAMPLINGS:
        timing = measure(partial(pipeline.generate, conditions, steps, guidance, 0, (side, side)), 2)
        table.add("with the adapter", steps, guidance, f"{timing.seconds:.2f}", timing.memory)
    _measure_base(pipeline, table, side)


@torch.inference_mode()
def _measure_base(pipeline: InferencePipeline, table: Table, side: int) -> None:
    """The stock pipeline on the same UNet, without the adapter."""
    pipe = pipeline.pipe
    pipe.unet.set_attn_processor(AttnProcessor2_0())
    pipe.unet.encoder_hid_proj = None
    pipe.unet.register_to_config(encoder_hid_dim_type=None)
    for steps, guidance in _SAMPLINGS:
        options = {"num_inference_steps": steps, "guidance_scale": guidance, "height": side, "width": side}
        timing = measure(partial(pipe, _PROMPT, **options), 2)
        table.add("the base alone, prompt encoded", steps, guidance, f"{timing.seconds:.2f}", timing.memory)
