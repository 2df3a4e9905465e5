"""What all datasets share: cards, the index, protocols, crops, packs, batches and checks."""
