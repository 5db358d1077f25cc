import sys

from evidence.verify.command_line import main

sys.exit(main())
