"""Text files as they are, or packed with gzip or ZIP, as QuPath's export offers."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from h2g.errors import AnnotationError

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
# Suffixes of annotations that are text; other files in a ZIP are no annotations.
TEXT_SUFFIXES = (".geojson", ".json", ".xml")


def read_packed(path: Path) -> bytes:
    """The content of a file, unpacked if its first bytes are those of gzip or ZIP.

    Raises:
        AnnotationError: the file cannot be read or unpacked, or a ZIP does not hold exactly one
            annotation file.
    """
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            return gzip.decompress(content)
        if content.startswith(ZIP_MAGIC):
            return _only_member(content, path)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise AnnotationError(f"{path}: the gzip file is damaged ({error}).") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise AnnotationError(
            f"{path}: the ZIP file cannot be unpacked ({error}). Give the file inside."
        ) from error
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror}).") from error
    return content


def _only_member(content: bytes, path: Path) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if _is_annotation(PurePosixPath(name))]
        if len(names) != 1:
            raise AnnotationError(
                f"{path}: the ZIP file holds {len(names)} annotation files "
                f"({', '.join(names) or 'none of ' + ', '.join(TEXT_SUFFIXES)}). Unpack it and "
                "give the one of this slide."
            )
        return archive.read(names[0])


def _is_annotation(name: PurePosixPath) -> bool:
    # macOS adds a folder of that name to its ZIP files.
    return name.suffix.lower() in TEXT_SUFFIXES and "__MACOSX" not in name.parts
