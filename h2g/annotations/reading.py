"""Reads any annotation file: text by its content, masks by their suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from h2g.annotations.asap import read_asap
from h2g.annotations.imagescope import read_imagescope
from h2g.annotations.masks import read_mask
from h2g.annotations.packed_files import TEXT_SUFFIXES, read_packed
from h2g.annotations.qupath import read_geojson
from h2g.annotations.regions import AnnotatedRegions
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame

Reader = Callable[[Path, AnnotationSettings, Frame], AnnotatedRegions]
XmlReader = Callable[[ElementTree.Element, Path, AnnotationSettings, Frame], AnnotatedRegions]

# XML by the name of its root element.
XML_READERS: dict[str, XmlReader] = {
    "ASAP_Annotations": read_asap,
    "Annotations": read_imagescope,
}


def read_xml(path: Path, settings: AnnotationSettings, frame: Frame) -> AnnotatedRegions:
    """The annotations of an XML file of ASAP or ImageScope, as it is or packed.

    Raises:
        AnnotationError: the file is not XML, or not that of these programs.
    """
    try:
        root = ElementTree.fromstring(read_packed(path))
    except (ElementTree.ParseError, ValueError) as error:
        raise AnnotationError(f"{path}: not XML ({error}).") from error
    if root.tag not in XML_READERS:
        known = " or ".join(f"<{tag}>" for tag in XML_READERS)
        raise AnnotationError(
            f"{path}: not the XML of ASAP or ImageScope; the file begins with <{root.tag}>, not "
            f"{known}. Open it in QuPath and export it as GeoJSON."
        )
    return XML_READERS[root.tag](root, path, settings, frame)


def read_text(path: Path, settings: AnnotationSettings, frame: Frame) -> AnnotatedRegions:
    """The annotations of a packed file, by its content: XML or GeoJSON."""
    starts_as_xml = read_packed(path).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    return (read_xml if starts_as_xml else read_geojson)(path, settings, frame)


READERS: dict[str, Reader] = {
    **{
        f"{suffix}{packed}": read_text for suffix in TEXT_SUFFIXES for packed in ("", ".gz", ".zip")
    },
    ".zip": read_text,
    ".gz": read_text,
    ".png": read_mask,
    ".tif": read_mask,
    ".tiff": read_mask,
}


def read_annotations(
    path: Path,
    settings: AnnotationSettings,
    frame: Frame,
) -> AnnotatedRegions:
    """The annotated regions of a slide, in level-0 pixels of its whole field and cut to it.

    A file without annotations gives no regions.

    Args:
        frame: coordinates of the slide.
    Raises:
        AnnotationError: the file is unknown or damaged, a name is unknown to the recipe, or a mask
            differs from the slide in shape.
    """
    name = path.name.lower()
    fitting = [suffix for suffix in READERS if name.endswith(suffix)]
    if not fitting:
        hint = (
            " JPEG changes labels; save the mask as PNG." if name.endswith(("jpg", "jpeg")) else ""
        )
        raise AnnotationError(
            f"{path}: not a known annotation file.{hint} Use one of {', '.join(READERS)} "
            "(QuPath's GeoJSON, XML of ASAP and ImageScope, label masks)."
        )
    if not path.is_file():
        raise AnnotationError(f"{path}: the annotation file does not exist.")
    reader = READERS[max(fitting, key=len)]
    return reader(path, settings, frame)
