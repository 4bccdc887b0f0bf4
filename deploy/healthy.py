"""The image's health check: ends with 0 if the app in this container answers, at its port and base path."""

import os
import sys
import urllib.request

PATIENCE = 4


def main() -> int:
    """Ask the app itself; the log of the health check says what went wrong."""
    port = os.environ.get("STREAMLIT_SERVER_PORT", "8501")
    base = os.environ.get("STREAMLIT_SERVER_BASE_URL_PATH", "").strip("/")
    address = "/".join(filter(None, (f"http://127.0.0.1:{port}", base, "_stcore/health")))
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            return 0 if answer.read() == b"ok" else 1
    except OSError as error:
        sys.stderr.write(f"{address}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
