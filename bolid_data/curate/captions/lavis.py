"""Captions by salesforce-lavis, which runs as a `Worker` in an environment of its own (`make lavis`)."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bolid_data.curate.captions.captioner import CaptionError, no_instructions, tidy
from bolid_data.curate.captions.worker import Worker, WorkerError
from bolid_data.curate.measurers.measurer import Keypoints, Photo, describe_model
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import CaptionSettings
from bolid_data.weights import Weights

ENVIRONMENT = Path(sys.prefix) / "lavis"
"""Where `make lavis` installs it: inside this environment."""

PROGRAM = Path(__file__).with_name("lavis_worker.py")


class LavisCaptioner:
    """A model of LAVIS: `lavis:blip2_opt/caption_coco_opt2.7b`."""

    def __init__(
        self,
        model: str,
        model_type: str,
        settings: CaptionSettings,
        device: str = "auto",
        relative_to: Path | None = None,
        timeout: float = 600.0,
        start_timeout: float = 3600.0,
    ) -> None:
        """`model_type` is one that LAVIS lists for `model`, or a file like those in LAVIS's configs/models, relative to
        `relative_to`. A response may take `timeout` seconds; the first, for which LAVIS downloads weights,
        `start_timeout`.

        Raises BolidError if the environment is missing or LAVIS cannot load the model.
        """
        if not (ENVIRONMENT / ".ready").is_file():
            raise BolidError(f"LAVIS is not installed in {ENVIRONMENT}; run `make lavis`, or name another captioner")
        if settings.dtype != "auto":
            raise UsageError(f"caption.dtype is {settings.dtype}, but LAVIS chooses its own; leave it at auto")
        self._name, self._timeout, self._start_timeout = f"lavis:{model}/{model_type}", timeout, start_timeout
        file = ((relative_to or Path()) / model_type).resolve()
        self._setup = {
            "model": model,
            "model_type": str(file) if file.suffix in (".yaml", ".yml") else model_type,
            "device": device,
            "prompt": settings.prompt,
            "max_new_tokens": settings.max_new_tokens,
        }
        self.prompt = settings.prompt
        loaded = self._start()
        weights = Weights(self._name, ENVIRONMENT, loaded["sha256"], "the model's own")
        self.model = describe_model(weights, lavis=loaded["version"], max_new_tokens=settings.max_new_tokens)

    def instructed(self, name: str, instruction: str) -> NoReturn:
        """Raises UsageError: it follows no instructions."""
        raise no_instructions(self._name, name)

    def caption(self, photos: Sequence[Photo], keypoints: Sequence[Keypoints | None]) -> list[str]:
        """One line per photo; keypoints are not used. Raises CaptionError if the worker fails, BolidError if it cannot
        be restarted."""
        if not self._worker.alive:
            self._start()
        request = {"sizes": [photo.image.size for photo in photos]}
        try:
            response = self._worker.ask(request, (photo.image.tobytes() for photo in photos), self._timeout)
        except WorkerError as error:
            raise CaptionError(f"{self._name}: {error}") from error
        return [tidy(text) for text in response["captions"]]

    def _start(self) -> dict[str, str]:
        # -I: isolated from this environment and from the folder of the program.
        self._worker = Worker([str(ENVIRONMENT / "bin" / "python"), "-I", str(PROGRAM)])
        try:
            return self._worker.ask(self._setup, (), self._start_timeout)
        except WorkerError as error:
            raise BolidError(f"{self._name} cannot be loaded: {error}") from error
