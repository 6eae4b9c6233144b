"""Runs in the LAVIS environment: the worker program with a vision encoder small enough for a test.

LAVIS builds its two vision encoders in one size only, with a billion and with 300 million weights. The rest of a tiny
Blip2OPT comes from a LAVIS configuration, which is written to the current folder with random weights if it is missing.
That must stay the current folder: LAVIS loads the tokenizer "bert-base-uncased" from it.
"""

import json
import runpy
from pathlib import Path
from typing import Any

import torch
from lavis.models.blip2_models.blip2 import Blip2Base, LayerNorm
from lavis.models.blip2_models.blip2_opt import Blip2OPT
from lavis.models.blip2_models.modeling_opt import OPTForCausalLM
from lavis.models.blip2_models.Qformer import BertLMHeadModel
from lavis.models.eva_vit import VisionTransformer
from omegaconf import OmegaConf
from transformers import BertConfig, BertTokenizer, GPT2Tokenizer, OPTConfig

PROGRAM = Path(__file__).parents[4] / "bolid_data" / "curate" / "captions" / "lavis_worker.py"
WORDS = ["a", "photo", "of", "person", "woman", "man", "in", "red", "blue", "dress", "coat", "with", "hair", "the"]


def tiny_vision_encoder(cls: type, name: str, img_size: int, *others: Any) -> tuple[torch.nn.Module, torch.nn.Module]:
    encoder = VisionTransformer(img_size, patch_size=14, embed_dim=16, depth=2, num_heads=2, qkv_bias=True)
    return encoder, LayerNorm(encoder.num_features)


def build(folder: Path) -> None:
    _qformer(folder / "bert-base-uncased")
    _opt(folder / "opt")
    model = {"arch": "tiny", "load_finetuned": False, "pretrained": str(folder / "tiny.pth"), "image_size": 28}
    model |= {"vit_precision": "fp32", "num_query_token": 4, "opt_model": "opt", "prompt": ""}
    processor = {"eval": {"name": "blip_image_eval", "image_size": 28}}
    settings = {"model": model, "preprocess": {"vis_processor": processor}}
    (folder / "tiny.yaml").write_text(json.dumps(settings))  # JSON is YAML
    torch.save({"model": {}}, folder / "tiny.pth")
    network = Blip2OPT.from_config(OmegaConf.create(model))
    # The usual initialisation is so small that every photo reads the same.
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    torch.save({"model": network.state_dict()}, folder / "tiny.pth")


def _qformer(folder: Path) -> None:
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    tokenizer = BertTokenizer(folder / "vocab.txt")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    config.add_cross_attention, config.cross_attention_freq, config.query_length = False, 2, 4
    tokenizer.save_pretrained(folder)
    BertLMHeadModel(config).save_pretrained(folder)


def _opt(folder: Path) -> None:
    folder.mkdir()
    pieces = ["<pad>", "</s>", "<unk>", "Ċ", *(f"Ġ{word}" for word in WORDS)]  # Ċ and Ġ: how GPT-2 writes \n and space
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"pad_token": "<pad>", "bos_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    GPT2Tokenizer(folder / "vocab.json", folder / "merges.txt", **special, add_bos_token=True).save_pretrained(folder)
    config = OPTConfig(
        vocab_size=len(pieces), hidden_size=16, word_embed_proj_dim=16, ffn_dim=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    OPTForCausalLM(config).save_pretrained(folder)


Blip2Base.init_vision_encoder = classmethod(tiny_vision_encoder)
if not Path("tiny.yaml").exists():
    torch.manual_seed(0)
    build(Path.cwd())
runpy.run_path(str(PROGRAM), run_name="__main__")
