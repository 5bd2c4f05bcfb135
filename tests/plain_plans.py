"""Plans of patches as tests need them: of a size, on a grid, from level 0."""

from __future__ import annotations

from h2g.slides.mpp_patches import MppPatches


def plain_plan(
    side_px: float, *, rows: int = 1, cols: int = 1, field_level0: tuple[int, int] = (0, 0)
) -> MppPatches:
    """Patches of level 0 at 1.0 um/px, as they are."""
    return MppPatches(
        level=0,
        read_px=int(side_px),
        size_px=int(side_px),
        mpp=1.0,
        step_level0=side_px,
        downsample=1.0,
        rows=rows,
        cols=cols,
        field_level0=field_level0,
    )
