"""What can be set: typed values (schema), composed with Hydra (compose), resolved (validate).

keys, help and completion know the command line, experiments the files of conf/, without Hydra.
"""
