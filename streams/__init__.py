"""NATS JetStream: the shell around the actors."""
