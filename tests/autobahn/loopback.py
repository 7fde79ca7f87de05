"""Runs ``wstest`` with two changes: it listens on 127.0.0.1 only, on a free port, and prints it; cases must exist.

By itself the suite's fuzzing server listens on every interface of the machine, on a port that must be known before,
and its fuzzing client waits for ever when a case does not exist. This file is run by the Python 2.7 that has the
suite, with the arguments of ``wstest``.
"""

from __future__ import print_function  # noqa: UP010, for Python 2.7

import sys

# The suite wants this import to come before all others: it installs Twisted's reactor.
import autobahntestsuite.choosereactor  # noqa: F401  isort: skip
from autobahntestsuite import wstest
from autobahntestsuite.caseset import CaseSet
from twisted.internet import reactor

listen_tcp = reactor.listenTCP
parse_cases = CaseSet.parseSpecCases


def listen_on_loopback(port, factory, backlog=50, interface=""):
    listener = listen_tcp(0, factory, backlog, "127.0.0.1")
    # The handshake compares the port in the Host header with these.
    factory.port = factory.externalPort = listener.getHost().port
    print("Port =", factory.port)
    return listener


def parse_known_cases(self, specification):
    cases = parse_cases(self, specification)
    unknown = set(cases) - set(self.CasesIndices)
    if unknown or not cases:
        sys.exit("Error = there is no case %s" % (", ".join(sorted(unknown)) or "that was asked for"))
    return cases


reactor.listenTCP = listen_on_loopback
CaseSet.parseSpecCases = parse_known_cases
wstest.run()
