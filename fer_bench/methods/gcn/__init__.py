"""The generative-contrastive network of Kim et al., arXiv:1703.07140."""
