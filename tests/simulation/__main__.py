"""`python -m tests.simulation`: see `simulation.command`."""

import sys
from pathlib import Path

# One name for each module, the one that pytest uses: `simulation.…`, `campaign.…`, `support.…`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from simulation.command import main

if __name__ == "__main__":
    sys.exit(main())
