"""Exporters of trained models; imported as h2g.exporters."""
