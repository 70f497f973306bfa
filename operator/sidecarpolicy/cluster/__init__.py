"""The hands: the only code that talks to the API server."""
