"""The protocol audit: what the field's bad habits add to a score, on the same method and data."""
