"""How good, how stable, how fast."""
