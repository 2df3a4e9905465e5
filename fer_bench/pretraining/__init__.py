"""Encoders that this project trains itself, on drawn faces, and ships with their cards."""
