"""Several processes for one run: where this one stands, what they say to each other, how they are started."""
