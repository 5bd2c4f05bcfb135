"""Procedural H&E slides with known truth, a cohort that anyone can generate."""

from h2g.phantom.anatomy import Anatomy
from h2g.phantom.cohort import generate_cohort

__all__ = ["Anatomy", "generate_cohort"]
