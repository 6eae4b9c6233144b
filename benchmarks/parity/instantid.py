"""InstantID (Wang et al. 2024)."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.parity.attention import at_scales, cross_attention
from benchmarks.parity.fixture import Fixture
from bolid_train.methods.instantid.face_image import draw_face
from bolid_train.methods.layers.resampler import Resampler


def _image_projection(fixture: Fixture) -> dict[str, Tensor]:
    weights = fixture.part("image_proj.")
    resampler = Resampler.like(weights, fixture.head_dim("image_proj.layers.0.0.to_q.weight"))
    resampler.load_state_dict(weights)
    embeds = fixture.inputs["face_embedding"][:, None]
    return {"tokens": resampler(embeds), "uncond_tokens": resampler(torch.zeros_like(embeds))}


def _cross_attention(fixture: Fixture) -> dict[str, Tensor]:
    masked = cross_attention(fixture, fixture.dims["scale"], fixture.inputs["region_mask"], "nearest")
    return at_scales(fixture) | {"hidden_states_masked": masked}


def _draw_kps(fixture: Fixture) -> dict[str, Tensor]:
    width, height = fixture.inputs["size"].tolist()
    images = [draw_face(points, width, height) for points in fixture.inputs["points"].numpy()]
    return {"images": torch.from_numpy(np.stack(images))}


CASES = {"image_projection": _image_projection, "cross_attention": _cross_attention, "draw_kps": _draw_kps}
