"""One run, from its config to its result: build the parts, claim the folder, train, write
result.json.
"""
