"""The features of the evaluated people's photos, for each run."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bolid_data.manifest import Train
from bolid_train.data.features.base_features import base_features
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.shard_dataset import People, Sample, ShardDataset
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.evaluate.cases import Case
from bolid_train.evaluate.finished_runs import FinishedRun


class EvaluationFeatures:
    """Feature caches, filled when they are first needed. Runs share the features that they have in common."""

    def __init__(
        self, root: Path, settings: Train, shards: ShardDataset, cases: Sequence[Case], relative_to: Path
    ) -> None:
        """`root`: not the folder of training runs, from which filling would delete these people's other photos.
        `settings`: for the base alone; its `buckets` are those of all runs, because images that are compared have one
        size. `relative_to`: the folder to which paths in the settings are relative."""
        self._root, self._settings, self._shards, self._relative_to = root, settings, shards, relative_to
        self._people = _people(cases)
        self._filled: set[str] = set()

    @property
    def of_base(self) -> FeatureCache:
        """What the base alone needs."""
        base = Base.resolve(self._settings, self._relative_to)
        return self._fill(FeatureCache(self._root, base, self._settings, base_features(self._settings)))

    def of_run(self, run: FinishedRun) -> FeatureCache:
        settings = run.settings.model_copy(update={"buckets": self._settings.buckets})
        features = [*base_features(settings), *run.spec.make_features(settings, self._relative_to)]
        return self._fill(FeatureCache(self._root, Base.resolve(settings, self._relative_to), settings, features))

    def _fill(self, cache: FeatureCache) -> FeatureCache:
        if cache.digest not in self._filled:
            cache.fill(self._shards, self._people, pick_device())
            self._filled.add(cache.digest)
        return cache


def _people(cases: Sequence[Case]) -> People:
    """The cases' photos; a photo may be in several."""
    photos: dict[str, dict[Sample, None]] = defaultdict(dict)
    for case in cases:
        for photo in (*case.views, *case.prompts):
            photos[photo.person][photo] = None
    return {person: list(samples) for person, samples in photos.items()}
