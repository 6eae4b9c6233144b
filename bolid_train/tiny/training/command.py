"""What the scripts that train a judge of the small world have in common: the command line."""

import argparse
from collections.abc import Callable
from pathlib import Path

from torch import nn

from bolid_train.tiny.networks.backbone import write_weights
from bolid_train.tiny.world.photos import Photos, draw_split
from bolid_train.tiny.world.splits import CORPUS


def main(name: str, train: Callable[[Photos, Path], nn.Module]) -> None:
    """Trains on the corpus and writes the committed weights of that name; `--work FOLDER` holds the checkpoint."""
    parser = argparse.ArgumentParser(prog=f"python -m bolid_train.tiny.training.{name}")
    parser.add_argument("--work", type=Path, required=True, help="a run that was stopped goes on from what is in it")
    write_weights(train(draw_split(CORPUS), parser.parse_args().work), name)
