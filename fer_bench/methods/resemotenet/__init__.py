"""ResEmoteNet of Roy et al., IEEE SPL 2024, arXiv:2409.10545."""
