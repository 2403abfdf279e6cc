"""The recipe: optimizer, schedule, step, loop, checkpoints and the record of a run."""
