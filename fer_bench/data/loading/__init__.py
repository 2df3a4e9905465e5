"""From packs to batches: LightningDataModules, augmentation, cached features, unions."""

from fer_bench.figures import replace_broken_backend

replace_broken_backend()  # before these modules import Lightning, which imports matplotlib
