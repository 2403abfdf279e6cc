"""What can be set: typed values (schema), composed from conf/ and the command line (compose),
validated.
"""
