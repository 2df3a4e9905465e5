"""What is derived from a dataset once and kept in the cache: packed crops and indexes."""
