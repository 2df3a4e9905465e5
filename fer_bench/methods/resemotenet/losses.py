"""The loss of ResEmoteNet: the plain cross-entropy that the suite's methods share."""

from fer_bench.methods.base import classification_loss

__all__ = ["classification_loss"]
