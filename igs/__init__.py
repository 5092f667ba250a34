"""igs: streaming Gaussian reconstruction. Video streams in, free-viewpoint video out."""

__version__ = "0.1.0"
