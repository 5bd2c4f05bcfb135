import pytest

from h2g.slides.info import find_resolution

APERIO = {
    "openslide.vendor": "aperio",
    "openslide.mpp-x": "0.25",
    "openslide.mpp-y": "0.25",
    "openslide.objective-power": "40",
    "tiff.ResolutionUnit": "centimeter",
    "tiff.XResolution": "5000",
    "tiff.YResolution": "5000",
}


def without(*names: str) -> dict[str, str]:
    return {key: value for key, value in APERIO.items() if not key.startswith(names)}


def test_order_of_sources() -> None:
    assert find_resolution(APERIO, 0.26).source == "given"
    assert find_resolution(APERIO, 0.26).mpp == 0.26
    slide = find_resolution(APERIO)
    assert (slide.mpp, slide.source, slide.problems) == (0.25, "slide", ())
    power = find_resolution(without("openslide.mpp"))  # 10 / 40
    assert (power.mpp, power.source) == (0.25, "objective power")
    tags = find_resolution(without("openslide"))  # 10,000 um a cm / 5000
    assert (tags.mpp, tags.source) == (2.0, "TIFF resolution tags")
    none = find_resolution({})
    assert (none.mpp, none.source) == (None, "none")
    assert "--mpp" in none.problems[0]


def test_resolution_of_a_generic_tiff_is_called_by_its_true_source() -> None:
    # OpenSlide turns this format's tags into its mpp.
    generic = without("openslide.obj") | {"openslide.vendor": "generic-tiff"}
    generic |= {"openslide.mpp-x": "2", "openslide.mpp-y": "2"}
    assert find_resolution(generic).source == "TIFF resolution tags"


@pytest.mark.parametrize("dots", ["72", "96", "300"])
def test_print_resolutions_are_ignored(dots: str) -> None:
    tags = {"tiff.ResolutionUnit": "inch", "tiff.XResolution": dots, "tiff.YResolution": dots}
    found = find_resolution({**tags, "openslide.vendor": "generic-tiff", "openslide.mpp-x": "85"})
    assert found.mpp is None
    assert f"{dots} dots per inch" in found.problems[0]


def test_a_coarse_resolution_of_the_scanner_is_used() -> None:
    assert find_resolution({"openslide.mpp-x": "16", "openslide.mpp-y": "16"}).mpp == 16


@pytest.mark.parametrize("value", ["0.025", "0.000252", "252", "0.05"])
def test_resolutions_that_no_microscope_has_are_ignored(value: str) -> None:
    """A tenth, in mm, in nm; the objective is the next source."""
    properties = APERIO | {"openslide.mpp-x": value, "openslide.mpp-y": value}
    found = find_resolution(properties)
    assert (found.mpp, found.source) == (0.25, "objective power")
    assert f"{float(value):.4g} um/px cannot be true" in found.problems[0]
    alone = find_resolution({"openslide.mpp-x": value, "openslide.mpp-y": value})
    assert alone.mpp is None
    assert "pass --mpp" in alone.problems[-1]


def test_tags_that_no_microscope_has_are_ignored() -> None:
    tags = {"tiff.ResolutionUnit": "centimeter"}
    tags |= {"tiff.XResolution": "200000", "tiff.YResolution": "200000"}  # 0.05
    found = find_resolution(tags)
    assert found.mpp is None
    assert "TIFF resolution tags of 0.05 um/px cannot be true" in found.problems[0]


def test_a_contradiction_with_the_objective_is_mentioned() -> None:
    found = find_resolution(APERIO | {"openslide.mpp-x": "1.0", "openslide.mpp-y": "1.0"})
    assert (found.mpp, found.source) == (1.0, "slide")
    assert "1 um/px contradicts the 40x objective (0.25 um/px)" in found.problems[0]
    # Scanners round: 0.2208 um/px is usual for 40x.
    assert find_resolution(APERIO | {"openslide.mpp-x": "0.2208"}).problems[1:] == ()


def test_resolution_tags_in_inches() -> None:
    tags = {"tiff.ResolutionUnit": "inch", "tiff.XResolution": "50800", "tiff.YResolution": "50800"}
    assert find_resolution(tags).mpp == 0.5  # 25,400 um / 50,800


def test_tags_without_a_unit_are_ignored() -> None:
    tags = {"tiff.ResolutionUnit": "none", "tiff.XResolution": "5000", "tiff.YResolution": "5000"}
    assert find_resolution(tags).mpp is None


def test_sides_that_differ_are_averaged_and_mentioned() -> None:
    found = find_resolution({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.26"})
    assert found.mpp == pytest.approx(0.255)
    assert "differ" in found.problems[0]
    close = find_resolution({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.2501"})
    assert close.problems == ()


def test_a_given_resolution_far_from_the_slides_own_is_mentioned() -> None:
    found = find_resolution(APERIO, 0.5)
    assert found.mpp == 0.5
    assert "0.5 um/px given" in found.problems[0]


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "", "unknown"])
def test_invalid_values_are_ignored(value: str) -> None:
    properties = {"openslide.mpp-x": value, "openslide.mpp-y": value}
    assert find_resolution(properties).mpp is None
    power = find_resolution({**properties, "openslide.objective-power": "40"})
    assert power.mpp == 0.25
