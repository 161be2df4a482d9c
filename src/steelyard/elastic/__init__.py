"""Makes any torch module scalable: channel groups, their importance, slices, and smaller modules of them."""
