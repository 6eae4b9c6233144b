"""What a run writes, on a disk that is full."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bolid_train.files import write_safetensors, write_state
from tests.support.disks import mounted


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    with mounted(tmp_path / "disk", "2m") as disk:
        yield disk


@pytest.mark.parametrize("write", [write_state, write_safetensors])
def test_a_full_disk_is_said_with_the_file(write: Callable[[Any, Path], None], small_disk: Path) -> None:
    write({"weight": torch.zeros(10)}, small_disk / "small")
    with pytest.raises(OSError, match="No space left on device") as raised:
        write({"weight": torch.zeros(2_000_000)}, small_disk / "large")
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(small_disk / "large")


def test_what_torch_cannot_write_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_state({}, tmp_path)
