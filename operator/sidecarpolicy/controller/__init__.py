"""The loop: observe, decide, act, say. It puts in order what the head decides and the hands do."""
