"""Lists of photos that the page scrolls through. A list is read from the catalog once and stays in its order while
photos are decided on, so that nothing moves under the user's hands; only its verdicts are brought up to date."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from bolid_data.catalog import Catalog
from bolid_data.curate.judge.browsing import Choice, Photo, browse, current_state
from bolid_data.errors import BolidError

PAGE = 200
"""Photos of a page."""

_KEPT = 2  # lists: that of the photos and that of the captions; one of 50,000 photos takes about 30 MB
_FIELDS = Photo._fields


class ExpiredError(BolidError):
    """A list is no longer held; the page asks for it again."""


class View:
    def __init__(self, photos: list[Photo]) -> None:
        self.id = secrets.token_hex(8)
        self._photos = photos

    def __len__(self) -> int:
        return len(self._photos)

    def page(self, start: int) -> list[dict[str, Any]]:
        return [dict(zip(_FIELDS, photo, strict=True)) for photo in self._photos[start : start + PAGE]]

    def sha256s(self, ranges: Sequence[tuple[int, int]]) -> list[str]:
        """The photos in ranges of places, first and last included; each once."""
        photos = (photo.sha256 for first, last in ranges for photo in self._photos[first : last + 1])
        return list(dict.fromkeys(photos))

    def next_undecided(self, after: int) -> int | None:
        """The place of the next photo on which nothing was decided by hand, from the beginning again after the end."""
        total = len(self._photos)
        for step in range(1, total + 1):
            photo = self._photos[(after + step) % total]
            if photo.keep is None and not photo.assigned:
                return (after + step) % total
        return None

    def refresh(self, state: dict[tuple[str, str], dict[str, Any]], people: set[str] | None) -> None:
        """Brings verdicts and decisions up to date, those of `people` or of all. A photo that was assigned to somebody
        else stays in its place, under its new name."""
        owners: dict[str, str] = {}
        for person, sha256 in state:
            owners.setdefault(sha256, person)
        for place, photo in enumerate(self._photos):
            if people is not None and photo.person not in people:
                continue
            now = state.get((photo.person, photo.sha256))
            if now is None and (owner := owners.get(photo.sha256)):
                photo, now = photo._replace(person=owner), state[owner, photo.sha256]
            if now is not None:
                self._photos[place] = photo._replace(**now)

    def recaption(self, captions: dict[str, str | None]) -> None:
        for place, photo in enumerate(self._photos):
            if photo.sha256 in captions:
                self._photos[place] = photo._replace(caption=captions[photo.sha256])


class Views:
    """The lists that were asked for last."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._views: OrderedDict[str, View] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, choice: Choice) -> View:
        with self._lock:
            while len(self._views) >= _KEPT:  # before the next one is read, so that never more are held
                self._views.popitem(last=False)
        view = View(browse(self._catalog, choice))
        with self._lock:
            self._views[view.id] = view
        return view

    def get(self, view_id: str) -> View:
        """Raises ExpiredError for a list that was replaced by later ones."""
        with self._lock:
            if view_id not in self._views:
                raise ExpiredError("this list is no longer held; load it again")
            self._views.move_to_end(view_id)
            return self._views[view_id]

    def refresh(self, people: set[str] | None = None) -> None:
        state = current_state(self._catalog, None if people is None else sorted(people))
        for view in self._all():
            view.refresh(state, people)

    def recaption(self, captions: dict[str, str | None]) -> None:
        for view in self._all():
            view.recaption(captions)

    def _all(self) -> list[View]:
        with self._lock:
            return list(self._views.values())
