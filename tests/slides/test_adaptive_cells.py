from __future__ import annotations

import numpy as np

from h2g.slides.adaptive_cells import Chosen, darker_cells, first_cells, later_cells


def cells_of(mask: list[list[int]]) -> np.ndarray:
    return np.argwhere(np.array(mask))


def later(
    mask: list[list[int]], tumour: np.ndarray, known: np.ndarray, *, number: int, threshold: float
) -> Chosen:
    values = np.stack([1 - tumour, tumour], axis=-1).astype(np.float32)
    return later_cells(
        cells_of(mask), values, values, values, known, number=number, threshold=threshold
    )


ALL = [[1] * 5 for _ in range(5)]


def test_the_first_pass_is_every_second_row_and_column() -> None:
    assert first_cells(cells_of(ALL)).tolist() == [[r, c] for r in (0, 2, 4) for c in (0, 2, 4)]
    assert first_cells(cells_of([[0, 1], [1, 1]])).tolist() == []


def test_cells_darker_than_their_neighbours_join_the_first_pass() -> None:
    red = np.full((5, 5), 200, np.float32)
    red[1, 3], red[3, 1] = 190, 197
    assert darker_cells(cells_of(ALL), red, 5).tolist() == [[1, 3]]
    assert darker_cells(cells_of(ALL), red, 2).tolist() == [[1, 3], [3, 1]]
    red[3, 3] = 230  # a light cell makes its neighbours darker by an eighth of the difference
    assert [2, 4] in darker_cells(cells_of(ALL), red, 2).tolist()
    red[3, 3] = 200
    first = first_cells(cells_of(ALL), red, 5).tolist()
    assert first == sorted([*first_cells(cells_of(ALL)).tolist(), [1, 3]])
    # Glass is no neighbour: it would make every border darker.
    mask = [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    red = np.full((3, 3), 250, np.float32)
    red[1:, 1:] = 150
    assert darker_cells(cells_of(mask), red, 1).tolist() == []


def test_centres_are_classified_where_their_corners_differ() -> None:
    tumour = np.zeros((5, 5))
    tumour[0, 0] = 1.0
    tumour[4, 4] = 0.25
    known = np.zeros((5, 5), bool)
    known[::2, ::2] = True
    chosen = later(ALL, tumour, known, number=0, threshold=0.3)
    assert chosen.cells.tolist() == [[1, 1]]
    assert chosen.estimated.tolist() == [[1, 3], [3, 1], [3, 3]]
    np.testing.assert_allclose(chosen.values[:, 1], [0, 0, 0.25 / 4])
    np.testing.assert_allclose(chosen.values.sum(axis=1), 1)
    # A difference as large as the threshold is none.
    assert later(ALL, tumour, known, number=0, threshold=1).cells.tolist() == []


def test_the_rest_is_decided_by_the_cells_beside_it() -> None:
    tumour = np.zeros((3, 3))
    tumour[1, 1] = 1.0
    known = np.ones((3, 3), bool)
    known[[0, 1, 1, 2], [1, 0, 2, 1]] = False
    mask = [[1] * 3 for _ in range(3)]
    chosen = later(mask, tumour, known, number=1, threshold=0.5)
    assert chosen.cells.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    tumour[1, 1] = 0.3
    chosen = later(mask, tumour, known, number=1, threshold=0.5)
    assert not len(chosen.cells)
    np.testing.assert_allclose(chosen.values[:, 1], 0.1)  # of three neighbours


def test_unknown_neighbours_do_not_count_and_one_is_too_few() -> None:
    tumour = np.zeros((3, 3))
    known = np.zeros((3, 3), bool)
    known[0, 0] = known[2, 2] = True
    mask = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    chosen = later(mask, tumour, known, number=0, threshold=0.3)
    assert chosen.estimated.tolist() == [[1, 1]]
    known[2, 2] = False
    assert later(mask, tumour, known, number=0, threshold=0.3).cells.tolist() == [[1, 1]]


def test_known_cells_are_not_chosen_again() -> None:
    known = np.ones((5, 5), bool)
    for number in (0, 1):
        chosen = later(ALL, np.zeros((5, 5)), known, number=number, threshold=0)
        assert not len(chosen.cells) + len(chosen.estimated)


def test_patches_of_several_cells_differ_by_their_extremes() -> None:
    known = np.zeros((3, 3), bool)
    known[::2, ::2] = True
    means = np.full((3, 3, 2), 0.5, np.float32)
    lowest, highest = means.copy(), means.copy()
    lowest[0, 0], highest[0, 0] = 0.0, 1.0  # one patch holds an edge
    cells = cells_of([[1] * 3 for _ in range(3)])
    chosen = later_cells(cells, lowest, highest, means, known, number=0, threshold=0.3)
    assert chosen.cells.tolist() == [[1, 1]]
