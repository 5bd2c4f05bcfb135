"""Tumour segmentation in whole slide images: the two-stage system of H2G-Net."""

__version__ = "0.1.0"
