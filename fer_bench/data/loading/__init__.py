"""From packs to batches: LightningDataModules, augmentation, cached features, unions."""
