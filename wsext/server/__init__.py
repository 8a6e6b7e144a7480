"""Many connections: listening, the decision about a handshake, limits, logs, workers."""
