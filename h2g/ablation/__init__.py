"""The ablation of the H2G-Net paper: its designs on one cohort, beside its Tables 1 and 2."""
