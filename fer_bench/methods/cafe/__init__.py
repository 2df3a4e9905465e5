"""cafe: a learned mask selects channels of a frozen CLIP feature (Zhang et al., ECCV 2024)."""
