"""Weights under the names that layers had before they were renamed load bit for bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bolid_train.files import load_weights, write_safetensors
from bolid_train.inference.pipeline import InferencePipeline
from bolid_train.methods import adapter
from bolid_train.methods.bolid.encoder import BodyEncoder
from bolid_train.methods.bolid.method import Bolid
from bolid_train.methods.bolid.prior import BodyPrior

OLD_NAMES = {".patch_proj.": ".look.", ".mlp.": ".think."}
COMMITTED = Path(__file__).parents[4] / "small_world" / "adapters" / "bolid-seed2"


def _with_old_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, old_name in OLD_NAMES.items():
        state = {key.replace(name, old_name): value for key, value in state.items()}
    return state


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("create", [lambda: BodyEncoder(8, 4, 16), lambda: BodyPrior(16, 8)])
def test_a_state_dict_loads_with_old_names_and_with_new_ones(create: Callable[[], nn.Module], tmp_path: Path) -> None:
    state = create().state_dict()
    old = _with_old_names(state)
    assert old.keys() != state.keys()
    for number, content in enumerate((old, state)):
        write_safetensors(content, tmp_path / f"{number}.safetensors")
        module = create()
        assert not _equal(module.state_dict(), state)
        load_weights(module, tmp_path / f"{number}.safetensors")
        assert _equal(module.state_dict(), state)


def test_a_committed_adapter_has_old_names_and_loads_bit_for_bit() -> None:
    method = InferencePipeline.from_run(COMMITTED, adapter.read(COMMITTED), COMMITTED).method
    assert isinstance(method, Bolid)
    for name, module in (("encoder", method.encoder), ("prior", method.prior)):
        stored = {key: value.float() for key, value in load_file(COMMITTED / f"{name}.safetensors").items()}
        assert _equal(_with_old_names(module.state_dict()), stored)
        assert not _equal(module.state_dict(), stored), "the file has old names"
    for name in ("ref", "body"):
        stored = {key: value.float() for key, value in load_file(COMMITTED / f"{name}.safetensors").items()}
        assert _equal(method.branches.tensors(name), stored)
