"""From Gaussians to images."""
