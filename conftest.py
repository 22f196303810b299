"""For every test, notebooks too: one thread each, because several run at once.

Two kernels with two threads each, on two cores, wait for each other and take ten times as long.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
