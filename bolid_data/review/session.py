"""What the page asks for and does, as plain functions: queries on one side, changes on the other. Changes go through
the functions of the commands, under the dataset's lock, one at a time."""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from bolid_data.catalog.decisions import ASSIGN, KEEP, REJECT
from bolid_data.curate import decide, judge
from bolid_data.curate.captions.by_hand import set_captions
from bolid_data.curate.decide import State
from bolid_data.curate.judge import browsing
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.report import show
from bolid_data.review import requests, thresholds
from bolid_data.review.gate import Gate
from bolid_data.review.history import Captioned, Changed, Cleared, Decided, History
from bolid_data.review.manifest_file import ManifestFile
from bolid_data.review.people import Suspects, revision_of
from bolid_data.review.views import View, Views
from bolid_data.stale import decisions_since_lock, find_stale

Answer = dict[str, Any]

_REMEMBERED = 256  # answers, for requests that are sent again
_WORDS = 400
_PATIENCE = 60.0  # seconds that a change waits for an earlier one

P = ParamSpec("P")
R = TypeVar("R")


def query(method: Callable[P, R]) -> Callable[P, R]:
    """A method of `Session` that reads the catalog, and waits while a change is being made."""

    @wraps(method)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> R:
        session: Any = args[0]
        with session.gate.query():
            return method(*args, **kwargs)

    return waiting


class Session:
    def __init__(self, manifest: ManifestFile, dataset: Dataset) -> None:
        self.manifest, self.dataset = manifest, dataset
        self.views = Views(dataset.catalog)
        self.history = History()
        self.suspects = Suspects(dataset.catalog)
        self.gate = Gate()
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    # Queries

    @query
    def overview(self) -> Answer:
        """The dataset in numbers, everybody in it, and what the page may do."""
        people = browsing.count_by_person(self.dataset.catalog)
        manifest = self.manifest.current()
        return {
            "name": manifest.name, "manifest": str(self.manifest.path), "packaged": self.manifest.packaged,
            "people": people, "funnel": judge.funnel(self.dataset.catalog), "trigger": manifest.caption.trigger,
            "captions": manifest.caption.use, "identity": manifest.models.identity, "can_redo": self.history.can_redo,
            "min_photos": manifest.filter.min_photos_per_person, "reasons": list(judge.REASONS),
            "revision": self.revision(),
        }  # fmt: skip

    def revision(self) -> str:
        return revision_of(self.dataset.catalog)

    @query
    def stale(self) -> Answer:
        """Shards, features and runs that no longer match the catalog, and the commands that bring them up to date."""
        if not self.dataset.lock.exists():
            return {"photos": 0, "shards": [], "runs": [], "features": [], "decisions": 0, "next": [], "locked": False}
        stale = find_stale(self.dataset)
        status = show.status(self.dataset)
        return stale.summary() | {
            "problem": stale.problem, "decisions": decisions_since_lock(self.dataset),
            "next": show.next_steps(status), "locked": True,
        }  # fmt: skip

    @query
    def look(self, looked: requests.Looked) -> View:
        choice = browsing.Choice(
            people=[looked.person] if looked.person else [],
            reasons=[looked.reason] if looked.reason else [],
            kept={"all": None, "kept": True, "out": False}[looked.verdict],
            decided={"any": None, "yes": True, "no": False}[looked.decided],
            words=looked.words,
            among=self.suspects.photos(self.manifest.current()) if looked.suspects else None,
            order=looked.sort,
        )
        return self.views.open(choice)

    @query
    def photo(self, sha256: str) -> Answer:
        """What `bolid explain` tells of a photo, with the outlines of what was detected."""
        explained = judge.explain(self.dataset.catalog, sha256)
        return explained | {"outlines": browsing.outlines(self.dataset.catalog, sha256)}

    @query
    def words(self) -> list[Answer]:
        return self.dataset.catalog.caption_words.words(_WORDS)

    @query
    def thresholds(self) -> Answer:
        return {"thresholds": thresholds.describe(self.manifest.current(), self.dataset)}

    @query
    def preview(self, request: requests.Thresholds) -> Answer:
        return thresholds.preview_of(self.manifest.current(), self.dataset, request.values)

    @query
    def suspected(self) -> Answer:
        return self.suspects.of(self.manifest.current())

    # Changes

    def decide(self, request: requests.Decision) -> Answer:
        def change() -> Answer:
            if request.what == "clear":
                undone, states = decide.undo(self.dataset, request.photos)
                self.history.record(Cleared(undone))
                reassigned = any(entry["what"] == ASSIGN for entry in undone)
            else:
                states = self._decide(request)
                self.history.record(Decided())
                reassigned = request.what == ASSIGN
            self.views.refresh(None if reassigned else {state["person"] for state in states})
            return {"photos": len({state["sha256"] for state in states})}

        return self._once(request.id, change)

    def merge(self, request: requests.Merge) -> Answer:
        """Assigns all of one person's photos to another."""

        def change() -> Answer:
            photos = [photo.sha256 for photo in browsing.browse(self.dataset.catalog, _all_of(request.person))]
            if not photos or request.person == request.into:
                raise UsageError(f"{request.person}: has no photos to merge into {request.into}")
            decide.assign(self.dataset, photos, request.into, f"{request.person} is the same person")
            self.history.record(Decided())
            self.views.refresh()
            return {"photos": len(photos)}

        return self._once(request.id, change)

    def undo(self, request: requests.Step) -> Answer:
        return self._once(request.id, lambda: self._changed(self.history.undo(self._read(), self.dataset)))

    def redo(self, request: requests.Step) -> Answer:
        return self._once(request.id, lambda: self._changed(self.history.redo(self._read(), self.dataset)))

    def caption(self, request: requests.Captions) -> Answer:
        return self._once(request.id, lambda: self._caption(request.captions))

    def replace(self, request: requests.Replacement) -> Answer:
        """Replaces a text in all captions in use of kept photos; without `apply`, only counts them."""

        def replaced() -> dict[str, str]:
            captions = self.dataset.catalog.caption_words.containing(request.find)
            changed = {sha256: _replace(caption, request) for sha256, caption in captions.items()}
            return {sha256: text for sha256, text in changed.items() if text != captions[sha256]}

        if request.apply:
            return self._once(request.id, lambda: self._caption(replaced()))
        with self.gate.query():
            changed = replaced()
        examples = [{"sha256": sha256, "caption": text} for sha256, text in list(changed.items())[:6]]
        return {"photos": len(changed), "examples": examples}

    def set_trigger(self, request: requests.Trigger) -> Answer:
        def change() -> Answer:
            manifest = self.manifest.set("caption", {"trigger": request.trigger or None})
            self.dataset.catalog.captions.choose(manifest.caption.use, manifest.caption.trigger)
            return {"trigger": manifest.caption.trigger}

        return self._once(request.id, change)

    def apply(self, request: requests.Applied) -> Answer:
        def change() -> Answer:
            result = thresholds.apply(self.manifest, self.dataset, request.values)
            self.views.refresh()
            return result

        return self._once(request.id, change)

    def _decide(self, request: requests.Decision) -> list[State]:
        if request.what == KEEP:
            return decide.keep(self.dataset, request.photos, request.why)
        if request.what == REJECT:
            return decide.reject(self.dataset, request.photos, request.why)
        return decide.assign(self.dataset, request.photos, request.person, request.why, request.new)

    def _caption(self, captions: Mapping[str, str]) -> Answer:
        if not captions:
            return {"photos": 0}
        manifest, words = self._read(), self.dataset.catalog.caption_words
        earlier = words.by_hand(list(captions), manifest.caption.use)
        written = set_captions(manifest, self.dataset, captions)
        self.history.record(Captioned({sha256: earlier.get(sha256, "") for sha256 in written}, written))
        return self._changed(written)

    def _changed(self, changed: Changed) -> Answer:
        """Brings the lists up to date after decisions or captions changed."""
        if isinstance(changed, dict):
            self.views.recaption(self.dataset.catalog.caption_words.in_use(list(changed)))
            return {"photos": len(changed), "what": "caption", "sha256s": list(changed)[:1]}
        reassigned = any(entry["what"] == ASSIGN for entry in changed)
        self.views.refresh(None if reassigned else {entry["person"] for entry in changed})
        photos = list(dict.fromkeys(entry["sha256"] for entry in changed))
        return {"photos": len(photos), "what": changed[0]["what"] if changed else "", "sha256s": photos[:1]}

    def _read(self) -> Any:
        return self.manifest.current()

    def _once(self, request_id: str, change: Callable[[], Answer]) -> Answer:
        """Makes a change under the dataset's lock, unless it was made before. Raises BusyError while another command
        has the dataset; nothing is changed then."""
        with self.gate.change(_PATIENCE):
            if request_id not in self._answers:
                with self.dataset.working():
                    answer = change()
                self._answers[request_id] = answer | {"can_redo": self.history.can_redo, "revision": self.revision()}
                while len(self._answers) > _REMEMBERED:
                    self._answers.popitem(last=False)
            return self._answers[request_id]


def _all_of(person: str) -> browsing.Choice:
    return browsing.Choice(people=[person])


def _replace(caption: str, request: requests.Replacement) -> str:
    if request.match_case:
        return caption.replace(request.find, request.replace)
    return re.sub(re.escape(request.find), lambda _: request.replace, caption, flags=re.IGNORECASE)
