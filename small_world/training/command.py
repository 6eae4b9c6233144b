"""What the scripts that train a judge of the small world have in common: the command line."""

import argparse
from collections.abc import Callable
from pathlib import Path

from torch import nn

from bolid_data.weights import embedded_path, file_sha256
from bolid_train.files import write_safetensors
from small_world.worlds import WORLDS, World, WorldPhotos, add_options, choose


def main(name: str, train: Callable[[World, WorldPhotos, Path], nn.Module]) -> None:
    """Trains on a world's corpus and writes the weights `tiny-NAME`; `--work FOLDER` holds the checkpoint."""
    parser = argparse.ArgumentParser(prog=f"python -m small_world.training.{name}")
    parser.add_argument("--work", type=Path, required=True, help="a run that was stopped goes on from what is in it")
    add_options(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: the committed weights")
    arguments = parser.parse_args()
    path = arguments.out or embedded_path(WORLDS[arguments.world].model(f"tiny-{name}"))
    network = train(*choose(parser, arguments), arguments.work)
    write_weights(network, path)
    print(f"pin it in bolid_data/weights.py: sha256 {file_sha256(path)}")


def write_weights(network: nn.Module, path: Path) -> None:
    """The network's weights, in half precision, as a file."""
    state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    write_safetensors(state, path)
