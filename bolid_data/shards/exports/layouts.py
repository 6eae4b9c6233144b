"""How other tools expect photos and captions in a folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

METADATA = "metadata.jsonl"


@dataclass(frozen=True)
class Layout:
    """`subfolder(person, split, repeats)` is where a person's photos go. Captions are in `.txt` files beside the
    photos, or in the subfolder's metadata.jsonl. `usage(folder)` is what a user of the tool does next."""

    subfolder: Callable[[str, str, int], str]
    metadata: bool
    usage: Callable[[Path], str]


LAYOUTS = {
    "kohya": Layout(
        lambda person, split, repeats: f"{repeats}_{person}",
        False,
        lambda folder: f'sdxl_train_network.py --train_data_dir "{folder}" --caption_extension .txt',
    ),
    "ai-toolkit": Layout(
        lambda person, split, repeats: "",
        False,
        lambda folder: f'datasets: [{{folder_path: "{folder}", caption_ext: "txt"}}]',
    ),
    "diffusers": Layout(
        lambda person, split, repeats: "",
        True,
        lambda folder: f'train_text_to_image_lora_sdxl.py --train_data_dir "{folder}" --caption_column text',
    ),
    "imagefolder": Layout(
        lambda person, split, repeats: split,
        True,
        lambda folder: f'datasets.load_dataset("imagefolder", data_dir="{folder}")',
    ),
}
"""Layouts with one file per photo, by name."""

WEBDATASET = "webdataset"

FORMATS = (*LAYOUTS, WEBDATASET)
