import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from h2g.errors import SlideError
from h2g.slides import pool as pool_module
from h2g.slides.damage import Damage
from h2g.slides.reading import Slide, SlidePool, open_slide


@pytest.fixture
def slides(write_slide, picture: np.ndarray) -> list[Path]:
    return [write_slide(picture[:256, :256], name=f"{number}.svs") for number in range(3)]


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the slides that were closed, in order."""
    names: list[str] = []
    close = Slide.close

    def spy(self: Slide) -> None:
        names.append(self.info.path.name)
        close(self)

    monkeypatch.setattr(Slide, "close", spy)
    return names


@pytest.fixture
def still_open(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Names of the slides that pools have open, by the slide's id."""
    names: dict[int, str] = {}
    close = Slide.close

    def open_one(path: Path, *, mpp: float | None, damage: Damage | None) -> Slide:
        slide = open_slide(path, mpp=mpp, damage=damage)
        names[id(slide)] = path.name
        return slide

    def close_one(self: Slide) -> None:
        del names[id(self)]
        close(self)

    monkeypatch.setattr(pool_module, "open_slide", open_one)
    monkeypatch.setattr(Slide, "close", close_one)
    return names


def test_idle_slides_are_lent_again(slides: list[Path], still_open: dict[int, str]) -> None:
    pool = SlidePool()
    with pool.lease(slides[0]) as first:
        pass
    with pool.lease(str(slides[0])) as again, pool.lease(slides[0]) as second:
        assert again is first
        assert second is not first
        assert len(still_open) == 2
    with pool.lease(slides[0], mpp=0.4) as other:
        assert other.info.mpp == 0.4
        assert other is not first
    pool.close()


def test_the_longest_idle_slide_is_closed_first(
    slides: list[Path], closed: list[str], still_open: dict[int, str]
) -> None:
    pool = SlidePool(max_open=2)
    for number in (0, 1, 0, 2):  # 1 is idle longest when 2 is opened
        with pool.lease(slides[number]):
            pass
    assert closed == ["1.svs"]
    assert len(still_open) == 2
    pool.close()
    assert sorted(closed) == ["0.svs", "1.svs", "2.svs"]


def test_lent_slides_stay_open(
    slides: list[Path], closed: list[str], still_open: dict[int, str]
) -> None:
    pool = SlidePool(max_open=1)
    with pool.lease(slides[0]) as a, pool.lease(slides[1]) as b:
        assert closed == []
        a.read_level(level=0, xy_level0=(0, 0), size_px=(9, 9))
        b.read_level(level=0, xy_level0=(0, 0), size_px=(9, 9))
        pool.close()
        assert closed == []
    assert sorted(closed) == ["0.svs", "1.svs"]
    assert len(still_open) == 0


def test_a_slide_that_failed_is_not_lent_again(
    slides: list[Path], closed: list[str], still_open: dict[int, str]
) -> None:
    pool = SlidePool()
    with pool.lease(slides[0]) as slide:
        slide.failed = True
    assert closed == ["0.svs"]
    with pool.lease(slides[0]) as fresh:
        assert fresh is not slide
    with pytest.raises(SlideError), pool.lease(slides[0].with_name("missing.svs")):
        pass
    assert len(still_open) == 1


def test_a_plain_image_is_decoded_once(
    tmp_path: Path, picture: np.ndarray, still_open: dict[int, str]
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    pool = SlidePool()
    with pool.lease(path, mpp=0.5) as outer:
        with pool.lease(path, mpp=0.5) as inner:
            assert inner is outer
        assert len(still_open) == 1
        outer.read_level(level=0, xy_level0=(0, 0), size_px=(9, 9))
    pool.close()


def test_many_threads(write_slide, picture: np.ndarray, still_open: dict[int, str]) -> None:
    paths = [write_slide(picture, name=f"{number}.svs") for number in range(3)]
    pool = SlidePool(max_open=2)
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(30):
                x, y = int(rng.integers(1400)), int(rng.integers(900))
                with pool.lease(paths[rng.integers(3)]) as slide:
                    part = slide.read_level(level=0, xy_level0=(x, y), size_px=(64, 64))
                if not np.array_equal(part, picture[y : y + 64, x : x + 64]):
                    wrong.append((x, y))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(still_open) <= 2
    pool.close()
