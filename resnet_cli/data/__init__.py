"""Images: reading them, the order they are shown in, and the augmentation of a batch."""
