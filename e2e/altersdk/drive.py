"""Drives the public API of the real alter-sdk through the fake vault, step by step.

ALTERVAULT holds the line that the command altervault printed. Prints a JSON
object for each step, with what came of it; what was sent, the fake has recorded.
Arguments: the steps to run; default: all.
"""

import asyncio
import json
import logging
import os
import sys

import fake

os.environ["ALTER_BASE_URL"] = fake.WHERE["base_url"]
logging.disable(logging.CRITICAL)

import calls  # noqa: E402,F401
import catalogue  # noqa: E402,F401
import errors  # noqa: E402,F401
import sessions  # noqa: E402,F401


async def main(wanted):
    for name, run in fake.STEPS:
        if not wanted or name in wanted:
            try:
                told = {"outcome": await run()}
            except Exception as e:  # of the step itself: the test fails, and sees the others
                told = {"failed": repr(e)}
            print(json.dumps({"step": name} | told, ensure_ascii=False, default=str), flush=True)


asyncio.run(main(sys.argv[1:]))
