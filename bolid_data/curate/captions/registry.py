"""Finds a captioner by name."""

from pathlib import Path

from bolid_data import weights
from bolid_data.curate.captions.captioner import Captioner
from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest

TINY = "tiny-blip2"
LAVIS = "lavis:"


def load_captioner(manifest: Manifest) -> Captioner:
    """Loads the captioner that `[models] caption` names, with the settings in `[caption]`.

    `describe` and `tiny-blip2` are embedded, `lavis:<model>/<type>` is a model of LAVIS, and any other name is a model
    for transformers: a folder (relative to the manifest) or a hub repository. Raises BolidError for a model that is not
    available, UsageError for one that does not caption.
    """
    name, relative_to = manifest.models.caption, manifest.folder
    if name == "describe":
        from bolid_data.curate.captions.describe import Describer

        return Describer()
    if name.startswith(LAVIS):
        from bolid_data.curate.captions.lavis import LavisCaptioner

        model, slash, model_type = name.removeprefix(LAVIS).partition("/")
        if not (model and slash and model_type):
            raise UsageError(f"models.caption = '{name}': LAVIS's models are named lavis:<model>/<type>")
        return LavisCaptioner(model, model_type, manifest.caption, manifest.models.device, relative_to)
    # These libraries take seconds to import.
    from bolid_data.curate.captions.vision_language import VisionLanguageCaptioner
    from bolid_data.curate.measurers import registry

    return VisionLanguageCaptioner(_find(name, relative_to), manifest.caption, registry.device(manifest.models.device))


def _find(name: str, relative_to: Path) -> weights.Weights:
    if name == TINY:
        return weights.find(name)
    folder = weights.folder(name, relative_to)
    return weights.Weights(name, folder, weights.folder_sha256(folder), "the model's own")
