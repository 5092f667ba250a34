"""`python -m igs.cli`: the same as `igs`, also where scripts are not on the PATH."""

import sys

from igs.cli import main

sys.exit(main())
