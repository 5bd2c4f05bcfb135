"""Open slides shared between threads, with a limit on how many stay open."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import openslide

from h2g.slides.damage import Damage
from h2g.slides.slide import Slide, open_slide

CACHE_BYTES = 256 * 2**20

Key = tuple[Path, float | None]


class SlidePool:
    """Lends open slides, one handle per concurrent user of a slide, and reuses idle ones.

    More than ``max_open`` handles are open only while that many are lent at once. Otherwise the
    slide that has been idle longest is closed first. All slides share one bounded cache of decoded
    tiles. A plain image is decoded once and lent to several users.
    """

    def __init__(
        self, max_open: int = 64, cache_bytes: int = CACHE_BYTES, *, skip_damaged: bool = False
    ) -> None:
        """
        Args:
            skip_damaged: takes damaged tiles as missing, and collects them by slide.
        """
        self._max_open = max_open
        self._damage: dict[Path, Damage] | None = {} if skip_damaged else None
        self._cache = openslide.OpenSlideCache(cache_bytes)
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[Key, Slide]] = OrderedDict()  # longest idle first
        self._lent: dict[int, tuple[Key, Slide, int]] = {}  # with the number of users
        self._closed = False

    @contextlib.contextmanager
    def lease(self, path: str | Path, mpp: float | None = None) -> Iterator[Slide]:
        """An open slide for the duration of the block; SlideError if it cannot be opened."""
        slide = self._take((Path(path), mpp))
        try:
            yield slide
        finally:
            self._give_back(slide)

    def damage_problem(self, path: Path) -> str | None:
        """A phrase about a slide's damaged tiles so far; None if there are none."""
        damage = self._damage_of(path)
        return damage.problem if damage else None

    def _damage_of(self, path: Path) -> Damage | None:
        with self._lock:
            return None if self._damage is None else self._damage.setdefault(path, Damage())

    def close(self) -> None:
        """Closes idle slides now, and lent ones when they are returned."""
        with self._lock:
            self._closed = True
            idle = [slide for _, slide in self._idle.values()]
            self._idle.clear()
        for slide in idle:
            slide.close()

    def _take(self, key: Key) -> Slide:
        with self._lock:
            slide = self._reuse(key)
            closing = [] if slide else self._make_room()
        for old in closing:
            old.close()
        if slide is not None:
            return slide
        # Outside the lock, because it takes milliseconds.
        slide = open_slide(key[0], mpp=key[1], damage=self._damage_of(key[0]))
        slide.use_cache(self._cache)
        with self._lock:
            self._lent[id(slide)] = (key, slide, 1)
        return slide

    def _reuse(self, key: Key) -> Slide | None:
        for number, (owner, slide) in reversed(self._idle.items()):
            if owner == key:
                del self._idle[number]
                self._lent[number] = (key, slide, 1)
                return slide
        for number, (owner, slide, users) in self._lent.items():
            if owner == key and slide.is_image:
                self._lent[number] = (key, slide, users + 1)
                return slide
        return None

    def _make_room(self) -> list[Slide]:
        closing = []
        while self._idle and len(self._idle) + len(self._lent) >= self._max_open:
            closing.append(self._idle.popitem(last=False)[1][1])
        return closing

    def _give_back(self, slide: Slide) -> None:
        with self._lock:
            key, _, users = self._lent.pop(id(slide))
            if users > 1:
                self._lent[id(slide)] = (key, slide, users - 1)
                return
            over = len(self._idle) + len(self._lent) >= self._max_open
            keep = not (self._closed or slide.failed or over)
            if keep:
                self._idle[id(slide)] = (key, slide)
        if not keep:
            slide.close()
