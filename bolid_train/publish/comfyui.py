"""What ComfyUI's IP-Adapter node (ComfyUI_IPAdapter_plus) makes of a file: it has no other description of an adapter
than the names and shapes of its tensors.

The node sorts tensors by the prefixes `image_proj.` and `ip_adapter.`, tells the kind by names, and the base by the
width of the text; it numbers the layers of cross-attention itself, down, up and to the middle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from bolid_data.errors import BolidError

Kind = Literal["plain", "plus", "full face", "faceid", "faceid plus", "portrait"]
Shapes = Mapping[str, tuple[int, ...]]

_TOKENS = 4
_LAYERS = {
    2048: ("SDXL", [640] * 4 + [1280] * 20 + [1280] * 30 + [640] * 6 + [1280] * 10),
    768: ("SD 1.5", [320] * 2 + [640] * 2 + [1280] * 2 + [1280] * 3 + [640] * 3 + [320] * 3 + [1280]),
}
"""Bases by the width of their text, with the widths of their layers in the node's order."""


class ComfyUIError(BolidError):
    """ComfyUI would not load a file, or not as an IP-Adapter."""


@dataclass(frozen=True)
class ComfyUILayout:
    """How ComfyUI loads a file."""

    kind: Kind
    base: str  # SDXL or SD 1.5
    width: int | None  # of the image embedding that a plain adapter takes


def comfyui_layout(path: Path) -> ComfyUILayout:
    """How ComfyUI loads a `.safetensors` file. Raises ComfyUIError, saying which of its rules the file breaks."""
    try:
        with safe_open(path, framework="numpy") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ComfyUIError(f"{path}: cannot be read as safetensors ({error})") from error
    try:
        return layout_of(shapes)
    except ComfyUIError as error:
        raise ComfyUIError(f"{path}: {error}") from None


def layout_of(shapes: Shapes) -> ComfyUILayout:
    """The same, of the shapes of a file's tensors by name."""
    projection, layers = (_part(shapes, prefix) for prefix in ("image_proj.", "ip_adapter."))
    if not layers:
        raise ComfyUIError("no tensor is named ip_adapter.…, so the loader refuses it")
    first = layers.get("1.to_k_ip.weight")
    if first is None or len(first) != 2:
        raise ComfyUIError("has no matrix ip_adapter.1.to_k_ip.weight, by which the loader tells the base")
    text = first[1]
    if text not in _LAYERS:
        raise ComfyUIError(f"its text is {text} wide, and neither SDXL's (2048) nor SD 1.5's (768)")
    base, widths = _LAYERS[text]
    kind = _kind(projection, layers)
    _check_layers(layers, base, widths, text)
    return ComfyUILayout(kind, base, _plain_width(projection, text) if kind == "plain" else None)


def _part(shapes: Shapes, prefix: str) -> Shapes:
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def _kind(projection: Shapes, layers: Shapes) -> Kind:
    has_lora, is_full = "0.to_q_lora.down.weight" in layers, "proj.3.weight" in projection
    if "perceiver_resampler.proj_in.weight" in projection:
        return "faceid plus"
    if has_lora:
        return "faceid"
    if is_full:
        return "full face"
    if "latents" in projection:
        return "plus"
    return "portrait" if "proj.2.weight" in projection else "plain"


def _check_layers(layers: Shapes, base: str, widths: list[int], text: int) -> None:
    expected = {
        f"{2 * number + 1}.to_{kind}_ip.weight": (width, text) for number, width in enumerate(widths) for kind in "kv"
    }
    found = {name: shape for name, shape in layers.items() if name.endswith("_ip.weight")}
    for name, shape in expected.items():
        if found.get(name) != shape:
            what = "is missing" if name not in found else f"is {found[name]}"
            raise ComfyUIError(f"ip_adapter.{name} {what}; the layer of {base} there needs {shape}")


def _plain_width(projection: Shapes, text: int) -> int:
    """The width of the image embedding. The projection is loaded strictly, into a Linear and a LayerNorm."""
    weight = projection.get("proj.weight", ())
    if len(weight) != 2:
        raise ComfyUIError("has no matrix image_proj.proj.weight")
    expected = {
        "proj.weight": (_TOKENS * text, weight[1]), "proj.bias": (_TOKENS * text,), "norm.weight": (text,),
        "norm.bias": (text,),
    }  # fmt: skip
    if dict(projection) != expected:
        differing = sorted(
            name for name in expected.keys() | projection.keys() if projection.get(name) != expected.get(name)
        )
        raise ComfyUIError(f"image_proj.{differing[0]} is not that of a plain IP-Adapter with {_TOKENS} tokens")
    return weight[1]
