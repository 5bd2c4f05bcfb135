"""FAST text pipelines; imported as h2g.fast_pipelines."""
