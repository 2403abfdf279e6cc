"""Many runs by one command: one after another, side by side on this machine, or as jobs of a cluster."""
