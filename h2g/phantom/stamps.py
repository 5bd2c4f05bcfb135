"""Nuclei and glands as small images, drawn once per slide and stamped at their positions."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from h2g.phantom.anatomy import Gland, Nucleus

STAMPS = 64  # variants per kind; more would look the same
NUCLEUS_LEVEL = 255 / 2.0  # 8-bit units per unit of haematoxylin
# Values of a gland's image: epithelium up to 127, lumen from 128, each with a soft rim.
LUMEN_LEVEL = 128
RIM_UM = 3.0


@dataclass(frozen=True)
class Stamps:
    """Variants of one kind, (STAMPS, side, side) uint8, with the object in the middle."""

    images: np.ndarray

    @property
    def side(self) -> int:
        return int(self.images.shape[1])


def nucleus_stamps(nucleus: Nucleus, *, mpp: float, rng: np.random.Generator) -> Stamps:
    """Nuclei of a kind in all orientations, haematoxylin in units of NUCLEUS_LEVEL."""
    largest = nucleus.diameter_um * (1 + 2.5 * nucleus.spread) * np.sqrt(nucleus.elongation * 1.3)
    side = 2 * (int(largest / mpp / 2) + 2) + 1
    # Drawn at a finer scale and averaged, so that a nucleus of few pixels has soft edges.
    fine = int(np.clip(round(4 * mpp), 1, 8))
    images = [
        cv2.resize(
            _draw_nucleus(nucleus, side * fine, mpp / fine, rng),
            (side, side),
            interpolation=cv2.INTER_AREA,
        )
        for _ in range(STAMPS)
    ]
    return Stamps(np.round(np.stack(images)).astype(np.uint8))


def _draw_nucleus(
    nucleus: Nucleus, side: int, um_per_px: float, rng: np.random.Generator
) -> np.ndarray:
    """A nucleus, (side, side) float64 in 8-bit units."""
    x, y = _axes(side, um_per_px)
    spread = nucleus.spread
    diameter = nucleus.diameter_um * np.clip(
        rng.normal(1, spread), 1 - 2 * spread, 1 + 2.5 * spread
    )
    elongation = 1 + (nucleus.elongation - 1) * rng.uniform(0.5, 1.3)
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    theta = np.arctan2(across, along)
    wave = 1 + 0.18 * nucleus.chromatin * np.sin(2 * theta + rng.uniform(0, 2 * np.pi))
    wave += 0.15 * nucleus.chromatin * np.sin(3 * theta + rng.uniform(0, 2 * np.pi))
    radius = np.hypot(along / np.sqrt(elongation), across * np.sqrt(elongation))
    depth = diameter / 2 * wave - radius  # um to the membrane, positive inside
    grain = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), max(0.5, 0.8 / um_per_px))
    grain = grain * (0.5 / max(float(grain.std()), 1e-6))
    amount = nucleus.density * rng.uniform(0.88, 1.12) * (1 + nucleus.chromatin * grain)
    # Chromatin lies along the membrane and leaves the middle pale.
    amount *= 1 + nucleus.chromatin * (np.exp(-(((depth - 0.7) / 0.7) ** 2)) - 0.35)
    if nucleus.nucleolus:
        spot = rng.normal(0, 0.12 * diameter, 2)
        amount += 0.5 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 1.2)
    return np.clip(amount * np.clip(depth / 0.8 + 0.5, 0, 1) * NUCLEUS_LEVEL, 0, 255)


@dataclass(frozen=True)
class GlandShapes:
    """Outlines of the variants of a gland: circles with waves along the angle."""

    gland: Gland
    radius_um: np.ndarray  # (STAMPS,) float32
    phases: np.ndarray  # (STAMPS, 2) float32

    @classmethod
    def draw(cls, gland: Gland, rng: np.random.Generator) -> GlandShapes:
        spread = rng.standard_normal(STAMPS).clip(-1.6, 1.6) * gland.spread
        radius = gland.radius_um * (1 + spread)
        phases = rng.uniform(0, 2 * np.pi, (STAMPS, 2))
        return cls(gland, radius.astype(np.float32), phases.astype(np.float32))

    def outline_um(self, variant: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Distance of the outline from the middle, for arrays of equal shape."""
        phases = self.phases[variant]
        wave = 1 + 0.1 * np.sin(2 * angle + phases[..., 0])
        wave += 0.4 * self.gland.spread * np.sin(3 * angle + phases[..., 1])
        return self.radius_um[variant] * wave

    def stamps(self, mpp: float) -> Stamps:
        side = 2 * (int(self.gland.radius_um * (1 + 2.2 * self.gland.spread) / mpp) + 2) + 1
        x, y = _axes(side, mpp)
        angle, radius = np.arctan2(y, x), np.hypot(x, y)
        images = np.empty((STAMPS, side, side), np.uint8)
        for variant in range(STAMPS):
            outline = self.outline_um(np.array(variant), angle)
            epithelium = np.clip((outline - radius) / RIM_UM + 0.5, 0, 1)
            lumen = np.clip((outline * self.gland.lumen - radius) / RIM_UM + 0.5, 0, 1)
            level = np.where(lumen > 0, LUMEN_LEVEL + 127 * lumen, 127 * epithelium)
            images[variant] = np.round(level)
        return Stamps(images)


def _axes(side: int, um_per_px: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y in um from the middle, (side, side) float32 each."""
    axis = ((np.arange(side) - (side - 1) / 2) * um_per_px).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y
