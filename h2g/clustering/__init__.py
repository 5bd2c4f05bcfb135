"""Tissue types without labels: scikit-learn finds clusters of patches, and a graph applies them."""
