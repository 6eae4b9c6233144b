"""Trains the tiny BLIP-2: `python -m small_world.training.tiny_blip2 --work FOLDER`.

Everything learns at once, from nothing: the image encoder, the Q-Former, the projection and the language model, on
made-up people and one true sentence each. While training, the first queries also have to name an attribute each, and
the patches to tell which parts of the body and which clothes they show; that teaches where to look before the
language model can. The photos are drawn once, into the work folder; a run that was stopped goes on from its last
checkpoint. `--evaluate`
prints the model card's table for the committed weights, on people that training never sees.
"""

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    PreTrainedTokenizerFast,
)

from bolid_data import weights
from bolid_data.atomic_io import atomic_write
from bolid_data.curate.captions.captioner import Captioner
from bolid_data.curate.captions.describe import Describer
from bolid_data.curate.captions.registry import TINY
from bolid_data.curate.captions.vision_language import VisionLanguageCaptioner
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.images import read_upright
from bolid_data.manifest import CaptionSettings
from bolid_data.synthetic.caption import ATTRIBUTES, WORDS
from bolid_data.synthetic.fields import PARTS
from bolid_data.synthetic.pieces import SURFACES
from small_world.labels import from_labels
from small_world.training.tiny_blip2_samples import (
    PEOPLE,
    PHOTOS,
    SIDE,
    HeldOut,
    augment,
    held_out_set,
    says,
    training_set,
)

FOLDER = weights.embedded_path(TINY)
PATCH = 16
"""Pixels of the sides of the patches that the image encoder sees a photo in."""

SAMPLED = 4
"""Of the parts and surfaces in a patch, every fourth pixel of every fourth row counts."""

SPREAD = 0.05
"""Standard deviation of the first weights: transformers' own 1e-10 of the image encoder is for weights that are loaded,
and layers this narrow learn faster from more than the usual 0.02."""

QUERIES = 12
CHECKPOINT_EVERY = 100
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A token a word of the sentences; spaces belong to the word behind them, commas are tokens of their own."""
    sentence = from_labels([0] * len(ATTRIBUTES)).sentence(build=False)
    spoken = [*sentence.replace(",", "").split(), "and", "a", "an"]
    spoken += [part for values in WORDS.values() for value in values for part in value.split()]
    vocabulary = [*SPECIAL, ",", *dict.fromkeys(f"▁{word}" for word in spoken)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split(Regex(","), "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )


def build_processor() -> Blip2Processor:
    """BLIP-2's own: the photo is squashed to a square."""
    images = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    return Blip2Processor(images, build_tokenizer(), num_query_tokens=QUERIES)


def build_network(tokenizer: PreTrainedTokenizerFast) -> Blip2ForConditionalGeneration:
    """BLIP-2 as transformers builds it, with few and narrow layers."""
    config = Blip2Config(
        vision_config={
            "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 5, "num_attention_heads": 6,
            "image_size": SIDE, "patch_size": PATCH, "initializer_range": SPREAD,
        },
        qformer_config={
            "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
            "encoder_hidden_size": 192, "cross_attention_frequency": 1, "vocab_size": 1,
            "max_position_embeddings": 1, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.0,
            "initializer_range": SPREAD,
        },
        text_config={
            "model_type": "opt", "vocab_size": len(tokenizer), "hidden_size": 128, "word_embed_proj_dim": 128,
            "ffn_dim": 512, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128,
            "dropout": 0.0, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        },
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    network = Blip2ForConditionalGeneration(config)
    # Zeros, as transformers leaves them, would keep all queries the same for ever.
    nn.init.normal_(network.query_tokens)
    return network


class Learner(nn.Module):
    """The network, and heads for what it does only while it learns: each of its first queries names an attribute, and
    each patch the shares of the body's parts and of surfaces in it."""

    mean: Tensor
    std: Tensor

    def __init__(self, processor: Blip2Processor) -> None:
        super().__init__()
        self.network = build_network(processor.tokenizer)
        # On CPU the fused attention's backward pass takes as long as all the rest.
        self.network.set_attn_implementation("eager")
        width = self.network.config.qformer_config.hidden_size
        self.heads = nn.ModuleList(nn.Linear(width, len(WORDS[name]) + 1) for name in ATTRIBUTES)
        seen = self.network.config.vision_config.hidden_size
        self.parts, self.surfaces = nn.Linear(seen, len(PARTS)), nn.Linear(seen, len(SURFACES))
        mean, std = processor.image_processor.image_mean, processor.image_processor.image_std
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std)[:, None, None], persistent=False)

    def forward(
        self, images: Tensor, tokens: Tensor, classes: Tensor, parts: Tensor, surfaces: Tensor
    ) -> tuple[Tensor, ...]:
        """Losses of the sentence, of the attributes, and of parts and surfaces.

        images: (b, 3, SIDE, SIDE) in 0..255; tokens: (b, s), the queries' places, <s>, words, </s> and padding;
        classes: (b, attributes); parts and surfaces: (b, 1, SIDE, SIDE).
        """
        spoken = tokens.masked_fill(tokens == SPECIAL.index("<pad>"), -100)
        spoken[:, : QUERIES + 1] = -100
        output = self.network(
            pixel_values=(images - self.mean) / self.std,
            input_ids=tokens,
            attention_mask=(tokens != SPECIAL.index("<pad>")).long(),
            labels=spoken,
        )
        queries, seen = output.qformer_outputs.last_hidden_state, output.vision_outputs.last_hidden_state[:, 1:]
        named = [nn.functional.cross_entropy(head(queries[:, i]), classes[:, i]) for i, head in enumerate(self.heads)]
        placed = nn.functional.cross_entropy(self.parts(seen).mT, _shares(parts, len(PARTS)))
        dressed = nn.functional.cross_entropy(self.surfaces(seen).mT, _shares(surfaces, len(SURFACES)))
        return output.loss, torch.stack(named).mean(), placed + dressed


def _shares(classes: Tensor, count: int) -> Tensor:
    """The share of each class in each patch (b, count, patches), of a map (b, 1, SIDE, SIDE)."""
    sampled = classes[:, 0, SAMPLED // 2 :: SAMPLED, SAMPLED // 2 :: SAMPLED]
    single = nn.functional.one_hot(sampled, count).movedim(-1, 1).float()
    return nn.functional.avg_pool2d(single, PATCH // SAMPLED).flatten(2)


def encode(tokenizer: PreTrainedTokenizerFast, classes: np.ndarray) -> Tensor:
    """The sentences of samples as tokens (n, s), behind the queries' places."""
    image, end = SPECIAL.index("<image>"), SPECIAL.index("</s>")
    sentences = [tokenizer(from_labels(row).sentence(build=False))["input_ids"] for row in classes.tolist()]
    rows = [torch.tensor([image] * QUERIES + sentence + [end]) for sentence in sentences]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=SPECIAL.index("<pad>"))


def train(work: Path, steps: int, batch: int, rate: float, chunks: int, workers: int, seed: int) -> Learner:
    """Trains from `work/checkpoint.pt` on, or from nothing, to `steps` steps."""
    photos, classes, *maps = training_set(work, chunks, workers)
    part_maps, surface_maps = (torch.from_numpy(of)[:, None] for of in maps)
    processor = build_processor()
    tokens, targets = encode(processor.tokenizer, classes), torch.from_numpy(classes.astype(np.int64))
    torch.manual_seed(seed)
    learner = Learner(processor)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=rate, weight_decay=0.05, betas=(0.9, 0.98))
    checkpoint, step, minutes = work / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        step, minutes = state["step"], state["minutes"]
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
    learner.train()
    start, losses = time.monotonic(), []
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 200) * (0.505 + 0.495 * math.cos(math.pi * step / steps))
        rng = np.random.default_rng((seed, step))
        rows = rng.integers(0, len(photos), batch)
        pictures = torch.from_numpy(photos[rows]).permute(0, 3, 1, 2)
        images, parts, surfaces = augment(pictures, part_maps[rows], surface_maps[rows], rng)
        torch.manual_seed(int(rng.integers(2**32)))  # of the dropout, so that a stop changes nothing
        with torch.autocast("cpu", torch.bfloat16):
            sentence, named, placed = learner(images, tokens[rows], targets[rows], parts, surfaces)
        optimizer.zero_grad()
        (sentence + 0.3 * named + 0.3 * placed).backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        losses.append((sentence.item(), named.item(), placed.item()))
        step += 1
        if step % CHECKPOINT_EVERY == 0 or step == steps:
            spent = minutes + (time.monotonic() - start) / 60
            means = np.mean(losses[-CHECKPOINT_EVERY:], 0)
            told = " ".join(f"{mean:.4f}" for mean in means)
            print(f"step {step}/{steps}  sentence, attributes, patches: {told}  {spent:.1f} minutes", flush=True)
            state = {"learner": learner.state_dict(), "optimizer": optimizer.state_dict()}
            with atomic_write(checkpoint) as part:
                torch.save(state | {"step": step, "minutes": spent}, part)
    return learner.eval()


def save(network: Blip2ForConditionalGeneration, processor: Blip2Processor, folder: Path) -> Iterator[str]:
    """Writes the folder that transformers loads; lines of the files' sha256, to be pinned in weights.py."""
    network.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    for file in sorted(folder.iterdir()):
        file.chmod(0o644)  # transformers makes the weights the owner's alone
        yield f'("{file.name}", "{weights.file_sha256(file)}"),'


def evaluate(folder: Path, people: int, photos: int, workers: int) -> Iterator[str]:
    """Lines of the card's table: the share of attributes that the captions of photos of people never seen get right,
    and that they leave out, by the tiny BLIP-2 as users run it and by `describe`, which is given the true keypoints."""
    seen = held_out_set(folder, people, photos, workers)
    captioners: list[Captioner] = [VisionLanguageCaptioner(weights.find(TINY), CaptionSettings()), Describer()]
    verdicts = np.array([_verdicts(captioner, seen) for captioner in captioners])
    yield f"| {len(seen)} photos | " + " | ".join(f"{c.model.name}, right | left out" for c in captioners) + " |"
    yield "| --- " * (1 + 2 * len(captioners)) + "|"
    for index, name in enumerate(ATTRIBUTES):
        yield _row(name, verdicts[:, :, index])
    yield _row("all", verdicts.reshape(len(captioners), -1))
    for framing in WORDS["framing"]:
        chosen = [one.description.framing == framing for one in seen]
        yield _row(f"all, {framing}", verdicts[:, chosen].reshape(len(captioners), -1))
    for captioner, given in zip(captioners, verdicts, strict=True):
        whole = ((given > 0) | np.isnan(given)).all(1).mean()
        yield f"\n{captioner.model.name}: {whole:.3f} of the captions have every attribute right"


def _verdicts(captioner: Captioner, seen: list[HeldOut]) -> list[list[float]]:
    """For each photo and attribute 1 for a right word, 0 for a wrong one, -1 for none, NaN where none is due."""
    verdicts = []
    for start in range(0, len(seen), 8):
        part = seen[start : start + 8]
        images = [Photo(one.path.name, read_upright(one.path)) for one in part]
        captions = captioner.caption(images, [one.keypoints for one in part])
        verdicts += [says(caption, one.description) for caption, one in zip(captions, part, strict=True)]
    return verdicts


def _row(name: str, verdicts: np.ndarray) -> str:
    due = [row[~np.isnan(row)] for row in verdicts]
    return f"| {name} | " + " | ".join(f"{(row > 0).mean():.3f} | {(row < 0).mean():.3f}" for row in due) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the drawn photos and the checkpoint")
    parser.add_argument("--evaluate", action="store_true", help="evaluate the pinned weights instead of training")
    parser.add_argument("--steps", type=int, default=6300)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--chunks", type=int, default=72, help=f"of {PEOPLE} people, {PHOTOS} photos each")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.evaluate:
        lines = evaluate(arguments.work / "held-out", people=100, photos=4, workers=arguments.workers)
    else:
        schedule = arguments.steps, arguments.batch, arguments.rate
        learner = train(arguments.work, *schedule, arguments.chunks, arguments.workers, arguments.seed)
        lines = save(learner.network, build_processor(), FOLDER)
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
