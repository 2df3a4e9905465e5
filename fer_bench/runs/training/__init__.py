"""Training one run: fit, epoch selection, checkpoints, callbacks, loggers."""
