"""Where the data of one command live: roots, unions, opened datasets and packs, the cache."""
