"""Tissue types without labels: clusters of patches, found by scikit-learn, applied by a graph."""
