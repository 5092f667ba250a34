"""igs: streaming Gaussian reconstruction. Video streams in, free-viewpoint video out."""

import os

# torch's idle OpenMP threads would spin beside the rasterizer's own; on two cores this made an
# optimisation step several times slower. Read at the first import of torch; a value set wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
