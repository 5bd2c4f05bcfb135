"""The H2G-Net paper's ablation: its designs on one cohort, beside its Tables 1 and 2."""
