"""Why it works: what resnet-analyze measures, as records, figures and sentences."""
