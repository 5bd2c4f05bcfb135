"""DICOM slides as scanners write them: one file per level, JPEG tiles, one series."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, generate_uid

WHOLE_SLIDE_MICROSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.6"
TILE_PX = 64


def write_dicom_slide(paths: Sequence[Path], rgb: np.ndarray, *, mpp: float) -> str:
    """Writes one level per path, each half as large as the one before.

    Args:
        rgb: (h, w, 3) uint8.
    Returns:
        The UID of the series.
    """
    series = generate_uid()
    for number, path in enumerate(paths):
        shrink = 2**number
        _write_level(path, rgb[::shrink, ::shrink], series=series, mpp=mpp * shrink, number=number)
    return series


def _write_level(path: Path, rgb: np.ndarray, *, series: str, mpp: float, number: int) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = WHOLE_SLIDE_MICROSCOPY
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    level = Dataset()
    level.file_meta = meta
    level.SOPClassUID, level.SOPInstanceUID = (
        WHOLE_SLIDE_MICROSCOPY,
        meta.MediaStorageSOPInstanceUID,
    )
    level.StudyInstanceUID, level.SeriesInstanceUID = generate_uid(), series
    level.Modality, level.InstanceNumber = "SM", number + 1
    first, last = ("DERIVED", "RESAMPLED") if number else ("ORIGINAL", "NONE")
    level.ImageType = [first, "PRIMARY", "VOLUME", last]
    level.TotalPixelMatrixRows, level.TotalPixelMatrixColumns = rgb.shape[:2]
    level.TotalPixelMatrixFocalPlanes = level.NumberOfOpticalPaths = 1
    level.DimensionOrganizationType = "TILED_FULL"
    level.Rows = level.Columns = TILE_PX
    level.SamplesPerPixel, level.PlanarConfiguration = 3, 0
    level.PhotometricInterpretation = "YBR_FULL_422"
    level.BitsAllocated = level.BitsStored = 8
    level.HighBit, level.PixelRepresentation = 7, 0
    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing = [mpp / 1000, mpp / 1000]
    groups.PixelMeasuresSequence = [measures]
    level.SharedFunctionalGroupsSequence = [groups]
    tiles = _jpeg_tiles(rgb)
    level.NumberOfFrames, level.PixelData = len(tiles), encapsulate(tiles)
    level["PixelData"].VR = "OB"
    level.save_as(path, enforce_file_format=True)


def _jpeg_tiles(rgb: np.ndarray) -> list[bytes]:
    tiles = []
    for y in range(0, rgb.shape[0], TILE_PX):
        for x in range(0, rgb.shape[1], TILE_PX):
            tile = np.full((TILE_PX, TILE_PX, 3), 255, np.uint8)
            part = rgb[y : y + TILE_PX, x : x + TILE_PX]
            tile[: part.shape[0], : part.shape[1]] = part
            stream = io.BytesIO()
            Image.fromarray(tile).save(stream, "JPEG", quality=95)
            tiles.append(stream.getvalue())
    return tiles
