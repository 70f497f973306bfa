"""The door for the API server: what answers its admission reviews, and with which certificate."""
