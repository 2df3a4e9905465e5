"""What all datasets share: cards, the index, protocols, packing and batches."""
