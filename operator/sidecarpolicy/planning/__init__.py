"""The head: pure decisions. Values in, values out; no client, clock, logger or await."""
