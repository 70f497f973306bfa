"""What the operator costs, beside a bare loop that sends the same patches."""
