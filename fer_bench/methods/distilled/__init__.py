"""distilled: a small network learns what a trained teacher answers."""
