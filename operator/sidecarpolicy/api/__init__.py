"""The words: what a user writes in a policy and reads in its status."""
