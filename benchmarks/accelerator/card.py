"""The device's own limits, against which the rest is to be read."""

import torch

from benchmarks.accelerator.page import Page
from benchmarks.accelerator.timing import measure
from benchmarks.accelerator.workbench import Workbench
from bolid_train.training import flops

_SIDE, _SMALL_SIDE = 8192, 512  # of the matrices
_COPIED, _SMALL_COPIED = 4 << 30, 64 << 20  # bytes


def measure_card(bench: Workbench, page: Page) -> None:
    """The rates of matrix products in bfloat16 and of copies. The former is the peak for MFU if the maker's is not
    known."""
    on_card = bench.device.type == "cuda"
    side, copied = (_SIDE, _COPIED) if on_card else (_SMALL_SIDE, _SMALL_COPIED)
    table = page.table("limit", "measured", "maker's")
    first, second = (torch.randn(side, side, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    timing = measure(lambda: first @ second, 20, warmup=3)
    rate = 2 * side**3 / timing.seconds
    peak = flops.peak_flops(bench.device)
    known = f"{peak / 1e12:.0f} TFLOP/s" if peak else "not in `flops.PEAKS`"
    table.add(f"product of {side}×{side} matrices, bfloat16", f"{rate / 1e12:.3g} TFLOP/s", known)
    source = torch.empty(copied, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    timing = measure(lambda: target.copy_(source), 10)
    table.add("copy, bytes read and written", f"{2 * copied / timing.seconds / 1e12:.3g} TB/s", "")
    if on_card and not peak:
        flops.PEAKS[torch.cuda.get_device_name(bench.device)] = rate
        page.note("MFU below is of the measured rate, as the maker's peak of this device is not in `flops.PEAKS`.")
