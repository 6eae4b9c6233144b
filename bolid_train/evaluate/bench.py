"""Draws and measures methods, one after the other, so that the pictures of one run at a time are held in memory."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import torch

from bolid_data.progress import note
from bolid_train.evaluate.compared import BASE, LORA, Compared
from bolid_train.evaluate.evaluators import Evaluators
from bolid_train.evaluate.measuring import Yardstick
from bolid_train.evaluate.painting import Drawn, Studio
from bolid_train.evaluate.results import Measured, Result, Sets, mean_of


class Bench:
    """Measures pictures beside the base's own of the same people, prompts and noise."""

    def __init__(
        self, studio: Studio, evaluators: Evaluators, yardstick: Yardstick, sets: Sets, shown: Sequence[int]
    ) -> None:
        """`shown`: the numbers of the people of whom results keep a picture each, that of the first prompt."""
        self._studio, self._evaluators, self._yardstick = studio, evaluators, yardstick
        self._sets, self._shown = sets, shown
        note("evaluate: drawing the base's pictures")
        self._bare = studio.bare()
        self._seen_bare = evaluators.look(self._bare.pictures)

    def base(self) -> Result:
        """What the base does alone."""
        return Result(BASE, 0, self._measure(self._bare, self._sets), self._pictures(self._bare, self._shown))

    def method(self, name: str, runs: Iterable[Compared], views: Iterable[int]) -> list[Result]:
        """What a method does, by numbers of photos; without any only where it can draw bodies."""
        measured: dict[int, list[Measured]] = defaultdict(list)
        pictures: dict[int, dict[int, torch.Tensor]] = {}
        for run in runs:
            note(f"evaluate: drawing those of run '{run.folder.name}'")
            for count, drawn in self._studio.run(run, [count for count in views if count or run.draws_bodies]):
                measured[count].append(self._measure(drawn, self._sets))
                pictures.setdefault(count, self._pictures(drawn, self._shown))
        return [Result(name, count, mean_of(own), pictures[count]) for count, own in measured.items()]

    def loras(self, views: int, runs: Mapping[int, Sequence[Compared]], sets: Sets) -> Result:
        """What LoRAs do, each for its own person alone; `runs`: by the person's number, trained on `views` photos.

        With several of each, they count as several seeds of one method.
        """
        note(f"evaluate: drawing those of LoRAs of {views} photo{'s' * (views != 1)}")
        shown = [person for person in self._shown if person in runs]
        measured: list[Measured] = []
        pictures: dict[int, torch.Tensor] = {}
        for seed in range(min(map(len, runs.values()))):
            drawn = self._studio.loras({person: own[seed] for person, own in runs.items()}, self._bare)
            measured.append(self._measure(drawn, sets))
            pictures = pictures or self._pictures(drawn, shown)
        return Result(LORA, views, mean_of(measured), pictures)

    def _measure(self, drawn: Drawn, sets: Sets) -> Measured:
        """Scores of the people in the sets; of others there is none."""
        scores = self._yardstick.score(self._evaluators.look(drawn.pictures), self._seen_bare)
        scores["seconds"] = self._yardstick.by_person(drawn.seconds)
        counted = torch.zeros(len(self._studio.cases), dtype=torch.bool)
        counted[[person for people in sets.values() for person in people]] = True
        scores = {name: values.where(counted, torch.nan) for name, values in scores.items()}
        quality = {of: self._yardstick.quality(self._of(drawn, people).flatten(0, 1)) for of, people in sets.items()}
        return Measured(scores, quality, (float(scores["body_sim"].nanmean()),))

    def _pictures(self, drawn: Drawn, people: Sequence[int]) -> dict[int, torch.Tensor]:
        return dict(zip(people, self._of(drawn, people)[:, 0], strict=True))

    def _of(self, drawn: Drawn, people: Sequence[int]) -> torch.Tensor:
        """(P, Q, 3, H, W): the pictures of some people, Q prompts each."""
        return drawn.pictures.unflatten(0, (len(self._studio.cases), -1))[list(people)]
