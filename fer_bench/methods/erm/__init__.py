"""erm: one backbone, one linear layer and cross-entropy, the reference of the board."""
