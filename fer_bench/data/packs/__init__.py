"""Decoded once: packed crops and kept indexes in the cache."""
