"""PhotoMaker (Li et al. 2024), versions 1 and 2."""

from typing import Any

import torch
from torch import Tensor
from transformers import CLIPVisionConfig

from benchmarks.parity.fixture import Fixture
from bolid_train.methods.layers.resampler import PerceiverSize
from bolid_train.methods.photomaker.class_word import remove_trigger, repeat_class_word
from bolid_train.methods.photomaker.face_id_encoder import FaceIdEncoder, FacePerceiver
from bolid_train.methods.photomaker.id_encoder import FuseModule, IdEncoder

_PERCEIVER = "id_encoder.qformer_perceiver."


def _fuse_module(fixture: Fixture) -> dict[str, Tensor]:
    weights = fixture.part("id_encoder.fuse_module.")
    module = FuseModule(len(weights["layer_norm.weight"]))
    module.load_state_dict(weights)
    outputs = {}
    for name in fixture.outputs:
        tokens, mask = fixture.inputs[f"id_embeds_{name}"], fixture.inputs[f"mask_{name}"]
        outputs[name] = module(fixture.inputs["prompt_embeds"], tokens.flatten(1, 2), mask)
    return outputs


def _clip(dims: Any) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=dims["clip_hidden"],
        num_hidden_layers=dims["clip_layers"],
        num_attention_heads=dims["clip_heads"],
        intermediate_size=dims["clip_mlp"],
        patch_size=dims["patch"],
        image_size=dims["image"],
    )


def _id_encoder_v1(fixture: Fixture) -> dict[str, Tensor]:
    dims = fixture.dims
    encoder = IdEncoder(_clip(dims), (dims["proj1"], dims["proj2"])).eval()
    encoder.load_state_dict(fixture.part("id_encoder."))
    tokens = encoder(fixture.inputs["pixels"][0])
    fused = encoder.fuse_module(fixture.inputs["prompt_embeds"], tokens.flatten(0, 1)[None], fixture.inputs["mask"])
    return {"id_embeds": tokens[:, 0], "prompt_embeds": fused}


def _face_perceiver(fixture: Fixture) -> FacePerceiver:
    size = PerceiverSize.of(fixture.part(f"{_PERCEIVER}perceiver_resampler."), fixture.dims["dim_head"])
    hidden, face = fixture.weights[f"{_PERCEIVER}token_proj.0.weight"].shape
    return FacePerceiver(face, size, hidden=hidden)


def _face_perceiver_v2(fixture: Fixture) -> dict[str, Tensor]:
    perceiver = _face_perceiver(fixture)
    perceiver.load_state_dict(fixture.part(_PERCEIVER))
    face = fixture.inputs["face_embedding"]
    return {"face_tokens": perceiver.face_tokens(face), "tokens": perceiver(face, fixture.inputs["last_hidden_state"])}


def _id_encoder_v2(fixture: Fixture) -> dict[str, Tensor]:
    dims = fixture.dims
    encoder = FaceIdEncoder(_clip(dims), (dims["proj1"], dims["proj2"]), _face_perceiver(fixture)).eval()
    encoder.load_state_dict(fixture.part("id_encoder."))
    tokens = encoder(fixture.inputs["pixels"][0], fixture.inputs["face_embedding"][0])
    fused = encoder.fuse_module(fixture.inputs["prompt_embeds"], tokens.flatten(0, 1)[None], fixture.inputs["mask"])
    return {"prompt_embeds": fused}


def _trigger_expansion(fixture: Fixture) -> dict[str, Tensor]:
    ids, class_tokens = remove_trigger(fixture.inputs["input_ids"], fixture.dims["trigger"], fixture.dims["pad"])
    outputs: dict[str, Tensor] = {}
    # In this order by the metadata.
    names = ("v1_one", "v1_three", "v2_three", "v2_overflow")
    for name, (photos, tokens) in zip(names, fixture.inputs["settings"].tolist(), strict=True):
        repeated, mask = repeat_class_word(ids, class_tokens, torch.tensor([photos * tokens]))
        outputs |= {f"ids_{name}": repeated, f"mask_{name}": mask}
    return outputs


CASES = {
    "fuse_module": _fuse_module,
    "id_encoder_v1": _id_encoder_v1,
    "face_perceiver_v2": _face_perceiver_v2,
    "id_encoder_v2": _id_encoder_v2,
    "trigger_expansion": _trigger_expansion,
}
