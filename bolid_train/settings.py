"""`[train]` with a table for each method: `[train.bolid]`, `[train.lora]` … It imports no method, so that reading a
manifest needs neither torch nor diffusers."""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import AliasChoices, ConfigDict, Field, ValidationError, create_model, model_validator

from bolid_data import manifest
from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest, Section, Train

_METHODS = Path(__file__).parent / "methods"


class MethodSettings(Section):
    """The settings of one method, `methods/<package>/settings.py::Settings`, in the table `[train.<method>]`."""

    moved: ClassVar[dict[str, str]] = {}
    """Keys that were below `[train]`, such as `objective.kl`, and what they are called in the method's table."""
    personal: ClassVar[frozenset[str]] = frozenset()
    """Keys that say who was trained on; a finished run does not keep them."""
    later: ClassVar[frozenset[str]] = frozenset()
    """Keys that change only what follows the training of the adapter; a resumed run may change them."""
    fixed: ClassVar[tuple[str, ...]] = ()
    """Keys that must be the same in a run and in the run that it starts from."""
    inherited: ClassVar[tuple[str, ...]] = ()
    """Keys that a run takes from the run that it starts from."""
    frozen_files: ClassVar[tuple[str, ...]] = ()
    """Keys that name files of frozen weights, which a finished run needs, too."""
    beside_public_file: ClassVar[tuple[str, ...]] = ()
    """Files that the published file needs, by their paths from its folder."""

    @property
    def public_file(self) -> str | None:
        """The published file that a run starts from, if any."""
        return None

    @classmethod
    def of(cls, train: Train) -> Self:
        """The method's table in `[train]`; the defaults for a `Train` without tables."""
        return next((table for _, table in train if type(table) is cls), cls())


class BranchSettings(MethodSettings):
    """Settings of methods with IP-Adapter branches."""

    inherited: ClassVar[tuple[str, ...]] = ("absent",)

    absent: Literal["zero_tokens", "projected_zeros"] = "zero_tokens"
    """What a branch gets of a photo that is not given: tokens of zeros, as if its scale were 0, or, in runs of earlier
    versions, the projection of a zero embedding."""


class ReferenceSettings(BranchSettings):
    """Settings of methods with a branch for the reference photo."""

    ref_from: str | None = None
    """A published IP-Adapter that the reference branch starts from: a file, or `owner/repository/file` on the hub. Name
    the image encoder that it was made with in `[train] image_encoder`."""

    @property
    def public_file(self) -> str | None:
        return self.ref_from


def package_of(method: str) -> str:
    """The package below `bolid_train.methods` of a method: of `ip-adapter`, `ip_adapter`."""
    return method.replace("-", "_")


@cache
def method_settings() -> dict[str, type[MethodSettings]]:
    """The settings of methods that have any, by the method's name."""
    packages = sorted(file.parent.name for file in _METHODS.glob("*/settings.py"))
    modules = {name: import_module(f"bolid_train.methods.{name}.settings") for name in packages}
    return {name.replace("_", "-"): module.Settings for name, module in modules.items()}


class _Checked(Train):
    """`[train]` without a key that is unknown."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _choose_fit(self) -> Self:
        """Published IP-Adapters were trained on the centres of photos."""
        if self.reference_fit is None:
            settings = method_settings().get(self.method, MethodSettings)
            object.__setattr__(self, "reference_fit", "crop" if settings.of(self).public_file else "pad")
        return self


@cache
def train_model() -> type[Train]:
    """`Train` with a field for each method's table."""
    tables: dict[str, Any] = {
        package_of(name): (model, Field(model(), validation_alias=AliasChoices(name, package_of(name))))
        for name, model in method_settings().items()
    }
    model = create_model("Train", __base__=_Checked, __doc__=Train.__doc__, __module__=__name__, **tables)
    model.moved = {
        tuple(old.split(".")): (name, new)
        for name, settings in method_settings().items()
        for old, new in settings.moved.items()
    }
    return model


def checked(train: Train) -> Train:
    """The settings with the tables of methods, if they were read without. Raises UsageError for a mistake in them."""
    if isinstance(train, train_model()):
        return train
    try:
        return train_model().model_validate(train.model_dump(exclude_unset=True))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"[train] {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def load(path: Path, overrides: dict[str, Any] | None = None) -> Manifest:
    """Reads and checks a manifest, the tables of methods included; as `bolid_data.manifest.load`."""
    return manifest.load(path, overrides, train_model())
