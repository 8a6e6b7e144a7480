"""What carries rooms between processes: the contract, Redis, NATS, and this process alone."""
