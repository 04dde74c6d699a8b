"""`python -m tenantry_client` is the command `tenantry`."""

import sys

from tenantry_client.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
