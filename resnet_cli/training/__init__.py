"""Training: optimizer, schedule, step, loop, checkpoints and the log of a run."""
