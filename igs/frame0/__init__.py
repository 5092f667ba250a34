"""The Gaussians of the first frame."""
