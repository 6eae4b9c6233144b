"""Captions photos with a LAVIS model for `lavis.py`; runs in the environment of `make lavis`, which has no bolid.

The protocol is described in `worker.py`. Photos arrive as plain RGB bytes, decoded and upright, so that no decoder is
needed here and nothing is lost.
"""

import hashlib
import json
import os
import sys
import threading
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

from PIL import Image


def main() -> None:
    threading.Thread(target=_exit_with_owner, daemon=True).start()
    pipe = Connection(int(sys.argv[-1]))
    captioner: LavisModel | None = None
    response: dict[str, Any]
    while True:
        try:
            request = json.loads(pipe.recv_bytes())
            images = [Image.frombytes("RGB", size, pipe.recv_bytes()) for size in request.get("sizes", ())]
        except EOFError:
            return
        try:
            if captioner is None:
                captioner = LavisModel(**request)
                response = captioner.identity()
            else:
                response = {"captions": captioner.caption(images)}
        except Exception as error:  # LAVIS and its dependencies may raise anything
            response = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        pipe.send_bytes(json.dumps(response).encode())


class LavisModel:
    def __init__(self, model: str, model_type: str, device: str, prompt: str, max_new_tokens: int) -> None:
        """`model_type` is one that LAVIS lists for `model`, or a file like those in its configs/models. An empty
        `prompt` keeps the model's default; `device` may be auto."""
        import torch
        from lavis.common.registry import registry
        from lavis.models import load_model_and_preprocess

        kind = registry.get_model_class(model)
        if kind is None or not hasattr(kind, "generate"):
            raise ValueError(f"LAVIS has no model '{model}' that captions")
        types = kind.PRETRAINED_MODEL_CONFIG_DICT
        if model_type.endswith((".yaml", ".yml")):
            types[model_type] = model_type
        elif model_type not in types:
            raise ValueError(f"LAVIS's '{model}' is one of {', '.join(types)}, not '{model_type}'")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model, processors, _ = load_model_and_preprocess(model, model_type, is_eval=True, device=device)
        if prompt:
            self._model.prompt = prompt
        self._process = processors["eval"]
        self._device, self._max_new_tokens = device, max_new_tokens

    def identity(self) -> dict[str, str]:
        """The version of LAVIS, and a hash of the names, types, shapes and bytes of the weights."""
        import torch

        digest = hashlib.sha256()
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return {"version": version("salesforce-lavis"), "sha256": digest.hexdigest()}

    def caption(self, images: list[Image.Image]) -> list[str]:
        import torch

        batch: Any = torch.stack([self._process(image) for image in images]).to(self._device)
        return self._model.generate({"image": batch}, max_length=self._max_new_tokens)


def _exit_with_owner() -> None:
    os.read(0, 1)  # returns when the owner ends; the lock of sys.stdin would abort a regular exit
    os._exit(1)


if __name__ == "__main__":
    main()
