"""ssmfar: semi-supervised multi-task learning with an adaptive threshold per class."""
