"""The interactive board: one HTML file that loads nothing, with the tables and figures of a store."""
