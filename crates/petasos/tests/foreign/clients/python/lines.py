"""How the clients talk with the test: a JSON object a line, commands in, reports out."""

import json
import os
import sys
import threading

settings = json.loads(sys.argv[1])


def report(**what):
    print(json.dumps(what), flush=True)


def commands(obey):
    """Calls `obey` with each command; what goes wrong is reported."""
    for line in sys.stdin:
        try:
            obey(json.loads(line))
        except Exception as error:  # Whatever a library raises is what its user sees.
            report(error={"message": f"{type(error).__name__}: {error} {getattr(error, 'response_body', '')}".strip()})


def end_with_the_commands():
    """Ends the program when the commands end, whatever it waits for."""

    def wait():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
