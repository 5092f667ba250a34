"""Training the networks: where samples come from, the losses, the loop."""
