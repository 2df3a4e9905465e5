"""Benchmarks of speed; `make speed` runs them all."""
