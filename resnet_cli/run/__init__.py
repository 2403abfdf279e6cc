"""One run: build its parts from the config, claim its folder, train, write result.json."""
