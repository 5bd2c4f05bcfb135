"""What a run folder knows of its networks: the data they learnt from and how they scored."""

from __future__ import annotations

import json
import logging
from collections import Counter

from h2g.bundle import TrainingData
from h2g.cohort import SPLITS, Cohort
from h2g.errors import RunError
from h2g.evaluation.scores import METRICS, VARIANTS
from h2g.runs import Run

logger = logging.getLogger(__name__)


def training_data(cohort: Cohort) -> TrainingData:
    """Counts of the cohort table."""
    splits = {split: cohort.split(split) for split in SPLITS}
    patients = {
        split: len({slide.patient for slide in slides if slide.patient is not None})
        for split, slides in splits.items()
    }
    return TrainingData(
        slides={split: len(slides) for split, slides in splits.items() if slides},
        patients={split: count for split, count in patients.items() if count},
        grades=dict(sorted(Counter(slide.grade for slide in splits["train"]).items())),
    )


def test_scores(run: Run) -> dict[str, dict[str, float]]:
    """Macro means on the test split by variant, as 'h2g evaluate' wrote them; none when it did not,
    or before the networks were trained again.

    Raises:
        RunError: the file is damaged.
    """
    file = run.path / "evaluation" / "test" / "scores.json"
    if not file.is_file():
        return {}
    files = run.trained_models(run.recipe.network_stages)
    trained = max(path.stat().st_mtime for path in files.values())
    if file.stat().st_mtime < trained:
        logger.warning(
            "%s is older than the networks and is left out of the card; 'h2g evaluate %s' makes "
            "it anew.",
            file,
            run.path,
        )
        return {}
    try:
        document = json.loads(file.read_text("utf-8"))
        return {
            variant: {name: float(document[variant][name]["mean"]) for name in METRICS}
            for variant in VARIANTS
            if document.get(variant) is not None
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{file}: not what 'h2g evaluate' writes ({error}). Delete it and evaluate again."
        ) from error
