"""The networks: architecture (data) -> resnet (modules) -> zoo (names) -> complexity (costs)."""
