"""What all pages share: the session and its address, the sidebar, background tasks, the server's settings."""

import os

# Before PyTorch is imported, whose threads would otherwise spin while they wait for one another: where other
# sessions need the same cores, a pass of two threads could then take twenty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
