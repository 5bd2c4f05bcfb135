"""Periodic textures of collagen fibres, fat cells and grain, built once per resolution."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

PERIOD_PX = 1024  # a multiple of the renderer's block, so that textures have no seams
MIDDLE = 128  # the value of "no change" in fibres, grain and noise


@dataclass(frozen=True)
class Textures:
    """Textures, (PERIOD_PX, PERIOD_PX) uint8 and periodic; noise has three channels."""

    fibres: np.ndarray  # around MIDDLE
    fat: np.ndarray  # 0 inside fat cells, 255 on their membranes
    grain: np.ndarray  # around MIDDLE
    noise: np.ndarray  # (.., 3), deviation 16 around MIDDLE


@functools.lru_cache(maxsize=2)
def textures(mpp: float) -> Textures:
    """The textures at a resolution, the same for every slide."""
    rng = np.random.default_rng(20220517)
    return Textures(
        fibres=_fibres(rng, mpp),
        fat=_fat(rng, mpp),
        grain=_to_level(_filtered(rng, sigma=(2.5 / mpp, 2.5 / mpp)), 34),
        noise=_to_level(rng.standard_normal((PERIOD_PX, PERIOD_PX, 3), dtype=np.float32), 16),
    )


def _to_level(values: np.ndarray, deviation: float) -> np.ndarray:
    return np.clip(np.round(MIDDLE + deviation * values), 0, 255).astype(np.uint8)


def _filtered(
    rng: np.random.Generator, *, sigma: tuple[float, float], angle: float = 0.0
) -> np.ndarray:
    """Periodic Gaussian noise with mean 0 and deviation 1.

    It is smooth over ``sigma`` px along and across ``angle``.
    """
    shape = (PERIOD_PX, PERIOD_PX)
    x = (2 * np.pi * np.fft.rfftfreq(PERIOD_PX)).astype(np.float32)[None]
    y = (2 * np.pi * np.fft.fftfreq(PERIOD_PX)).astype(np.float32)[:, None]
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    across = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    power = np.exp(-0.5 * ((along * sigma[0]) ** 2 + (across * sigma[1]) ** 2))
    spectrum = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * power
    spectrum[0, 0] = 0
    values = np.fft.irfft2(spectrum, s=shape)
    return values / values.std()


def _fibres(rng: np.random.Generator, mpp: float) -> np.ndarray:
    """Wavy bundles: noise stretched along directions that vary over the image."""
    total = np.zeros((PERIOD_PX, PERIOD_PX))
    weight = np.zeros_like(total)
    for angle in np.arange(4) * np.pi / 4 + 0.3:
        strands = _filtered(rng, sigma=(20 / mpp, 1.4 / mpp), angle=angle)
        strands += 0.6 * _filtered(rng, sigma=(36 / mpp, 4 / mpp), angle=angle)
        amplitude = np.exp(1.6 * _filtered(rng, sigma=(45 / mpp, 45 / mpp)))
        total += amplitude * strands
        weight += amplitude**2
    # Every point is taken from some 10 um away, which makes the bundles wavy.
    shift = [(10 / mpp * _filtered(rng, sigma=(30 / mpp, 30 / mpp))) for _ in range(2)]
    y, x = np.indices(total.shape)
    wavy = cv2.remap(
        (total / np.sqrt(weight) / 1.17).astype(np.float32),
        ((x + shift[0]) % PERIOD_PX).astype(np.float32),
        ((y + shift[1]) % PERIOD_PX).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return _to_level(wavy, 40)


def _fat(rng: np.random.Generator, mpp: float) -> np.ndarray:
    """Membranes between cells of about 60 um, the borders of jittered points' Voronoi cells."""
    count = max(2, round(PERIOD_PX * mpp / 60))
    pitch = PERIOD_PX / count
    grid = (np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1) + 0.5).reshape(-1, 2)
    points = ((grid + rng.uniform(-0.36, 0.36, grid.shape)) * pitch).astype(int) % PERIOD_PX
    # Points are repeated beyond the borders, so that cells continue across them.
    side = 3 * PERIOD_PX
    owner_at = np.zeros((side, side), np.int32)
    empty = np.full((side, side), 255, np.uint8)
    for shift in np.ndindex(3, 3):
        x, y = (points + np.array(shift) * PERIOD_PX).T
        empty[y, x] = 0
        owner_at[y, x] = np.arange(len(points))
    reach = min(PERIOD_PX, int(2 * pitch))
    window = slice(PERIOD_PX - reach, 2 * PERIOD_PX + reach)
    empty, owner_at = np.ascontiguousarray(empty[window, window]), owner_at[window, window]
    _, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(labels.max()) + 1, np.int32)
    owner[labels[empty == 0]] = owner_at[empty == 0]
    cells = owner[labels]
    edge = (cells != np.roll(cells, 1, 0)) | (cells != np.roll(cells, 1, 1))
    width = max(1, round(2.4 / mpp))
    wide = cv2.dilate(edge.astype(np.uint8) * 255, np.ones((width, width), np.uint8))
    soft = cv2.GaussianBlur(wide, (0, 0), max(0.5, 0.8 / mpp))
    return np.ascontiguousarray(soft[reach : reach + PERIOD_PX, reach : reach + PERIOD_PX])
