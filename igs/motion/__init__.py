"""AGM-Net: from two time steps of a few views to the motion of every Gaussian."""
