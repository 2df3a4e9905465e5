"""From packs to batches: LightningDataModules, augmentation, frozen features, unions."""
