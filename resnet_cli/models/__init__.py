"""The networks: described (architecture), built (resnet), named (zoo), priced (complexity)."""
