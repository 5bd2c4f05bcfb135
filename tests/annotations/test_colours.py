from h2g.annotations.colours import class_colour


def test_colours_differ_and_tumour_is_red() -> None:
    colours = [class_colour(index) for index in range(12)]
    assert len(set(colours)) == 12
    assert all(0 <= value <= 255 for colour in colours for value in colour)
    assert class_colour(1) == (200, 0, 0)
