"""What a method declares of itself; training, generation and evaluation ask the spec and know no method by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.data.features.feature import Feature
from bolid_train.data.preflight import Subject
from bolid_train.diffusion.base import Base
from bolid_train.methods.protocol import Method
from bolid_train.settings import MethodSettings, package_of

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of a photo's tensors by their name in `Batch.features`."""


@dataclass(frozen=True)
class MethodSpec:
    """A method: its name is that of its package, with dashes."""

    name: str
    build: Callable[[Train, Shapes], Method]
    settings: type[MethodSettings] = MethodSettings
    """The model of `[train.<name>]`; in `settings.py` of the package, if the method has settings."""
    features: tuple[Callable[[Train, Path], Feature | None], ...] = ()
    """What it reads of photos, besides the target's latents, keypoints and prompt; None: nothing, by these settings.
    The second argument is the folder to which paths in the settings are relative."""
    conditions: tuple[str, ...] = ("text",)
    """What it conditions the UNet on: each is dropped in some rows of training, and left out of guidance's negative
    half. `pose`: it reads the target's keypoints, which `bolid generate` then takes from `--pose`."""
    scales: tuple[str, ...] = ()
    """The names that `scale` knows, such as `body` for `--scale-body`."""
    default_scales: Mapping[str, float] = field(default_factory=dict)
    """Of these, the weights to generate with that are not 1."""
    kept_by_guidance: frozenset[str] = frozenset()
    """Conditions that guidance's negative half has, too."""
    photos_per_person: int = 2
    """The least that training needs: 2 if target and reference must differ."""
    subject: Callable[[Any], Subject] | None = None
    """For a method that is trained on one person: who it is, by the settings."""
    generates_without_photos: bool = False
    """Whether it samples a person from the prompt if no photo is given."""
    is_trained: bool = True
    changes_base: bool = False
    """Whether it changes the UNet itself, as a LoRA does, so that without a person the image is not the base's."""
    text_of: Callable[[str, bool], str] = lambda prompt, _: prompt
    """What the base's text encoders get of a prompt of `bolid generate`; the second argument says whether there are
    photos. Raises UsageError for a prompt that the method cannot use."""

    @property
    def guided_conditions(self) -> list[str]:
        """The conditions that guidance's negative half is without."""
        return [condition for condition in self.conditions if condition not in self.kept_by_guidance]

    def subject_of(self, train: Train) -> Subject | None:
        """The one person that it is trained on, if it is."""
        return self.subject(self.settings.of(train)) if self.subject else None

    def make_features(self, train: Train, relative_to: Path = Path()) -> list[Feature]:
        """`relative_to`: the folder to which paths in the settings are relative."""
        made = (make(train, relative_to) for make in self.features)
        return [feature for feature in made if feature]

    def make(self, train: Train, base: Base, relative_to: Path = Path()) -> Method:
        """The method, for features of `base`. `relative_to`: as for `make_features`."""
        features = self.make_features(train, relative_to)
        return self.build(train, {name: shape for made in features for name, shape in made.shapes(base).items()})

    def portable_settings(self, train: Train) -> dict[str, Any]:
        """`[train]` as a finished run keeps it: without the tables of other methods, and without who was trained on."""
        return self._dump(train, self.settings.personal)

    def loss_settings(self, train: Train) -> dict[str, Any]:
        """The settings that may change the losses of a run."""
        return self._dump(train, self.settings.personal | self.settings.later)

    def continued(self, train: Train, start: Train) -> Train:
        """`[train]` for a run that starts from one with the settings `start`: with what it inherits from it, such as
        how photos become squares. Raises UsageError if one cannot continue the other."""

        def described(settings: Train) -> str:
            table = self.settings.of(settings)
            fixed = (f"{key} {getattr(table, key)}" for key in table.fixed)
            return " and ".join([f"method '{settings.method}'", *fixed])

        if described(train) != described(start):
            raise UsageError(
                f"[train] start = '{train.start}': that run has {described(start)}; this one, with "
                f"{described(train)}, cannot continue it"
            )
        fits: dict[str, Any] = {"reference_fit": start.reference_fit, "view_fit": start.view_fit}
        table, start_table = self.settings.of(train), self.settings.of(start)
        if not table.inherited:
            return train.model_copy(update=fits)
        inherited = table.model_copy(update={key: getattr(start_table, key) for key in table.inherited})
        return train.model_copy(update=fits | {package_of(self.name): inherited})

    def _dump(self, train: Train, left_out: frozenset[str]) -> dict[str, Any]:
        """Without the prompts of validation, which may name someone and change nothing."""
        table = package_of(self.name)
        others = {name for name, value in train if isinstance(value, MethodSettings) and name != table}
        exclude: dict[str, Any] = dict.fromkeys(others, True) | {"prompts": True}
        return train.model_dump(mode="json", exclude=exclude | ({table: set(left_out)} if left_out else {}))
