"""Summary of a training from its history.csv."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd


def history_summary(file: Path) -> dict[str, Any]:
    """Epochs, best_epoch and that epoch's validation columns; empty if there is no file."""
    if not file.exists():
        return {}
    history: list[Any] = pd.read_csv(file).to_dict("records")
    best = min(history, key=lambda epoch: (isnan(epoch["val_loss"]), epoch["val_loss"]))
    values = {name: value for name, value in best.items() if name.startswith("val_")}
    return {"epochs": len(history), "best_epoch": best["epoch"], **values}
