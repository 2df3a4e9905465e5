"""Runs: their configuration and key, the store, execution, sweeps and launchers."""
