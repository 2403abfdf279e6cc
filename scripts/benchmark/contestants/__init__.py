"""What is timed: modules that run as processes of their own and answer lines with JSON."""
