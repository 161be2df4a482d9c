"""Measure the models of this kit on this machine: `python measure.py --out FILE`. See README.txt beside it.

Needs Python 3.11 or later, numpy, and the runtime of the models. Nothing is installed and nothing is sent anywhere.
"""

import os
import pathlib
import sys

if sys.version_info < (3, 11):  # noqa: UP036  the machine it is brought to may have an older one, and must be told
    sys.exit(f"measure.py: it needs Python 3.11 or later, and this is {sys.version.split()[0]}.")

FOLDER = pathlib.Path(__file__).resolve().parent
# The measuring processes are fresh interpreters: they find the code through their environment. What they compile is
# not kept, so that the kit stays as it was made.
os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.dont_write_bytecode = True
sys.path.insert(0, str(FOLDER))

try:
    import numpy  # noqa: F401  only to say in a sentence that it is missing
except ImportError:
    sys.exit("measure.py: it needs numpy, which is not installed here; README.txt has the line that installs it.")

from steelyard.measure.kit import main  # noqa: E402  not before the path is set

if __name__ == "__main__":
    sys.exit(main(FOLDER, sys.argv[1:]))
