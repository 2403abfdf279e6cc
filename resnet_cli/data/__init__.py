"""Images: what they are, in which order they come, and how a batch is augmented on the device."""
