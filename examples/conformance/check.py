"""Check any WebSocket server or client against RFC 6455, RFC 7692 and what HTTP/1.1 requires of a handshake.

    python examples/conformance/check.py ws://localhost:9001/       a server
    python examples/conformance/check.py --listen 9001              clients that connect to this port

The peer must send back each message unchanged. A client must connect again and again (it may have several connections
at a time), echo until the connection is closed, and stop when no more connections are accepted. Each connection is one
case.

    --only PATTERN    only cases whose id matches, such as 'close.*'; may be given more than once
    --list            prints the cases and runs none
    --json FILE       everything as JSON
    --junit FILE      everything as JUnit's XML
    --failed          the table has only the cases that FAILED
    --each            a line for each case, even if many have the same cause
    --timeout SECONDS how long to wait for an answer (default 2)

A verdict is one of OK; INFORMATIONAL, if the RFC leaves the choice; NON-STRICT, if no MUST is broken; UNSUPPORTED, for
lack of permessage-deflate; and FAILED. The exit code is 0 if no case FAILED, 1 if at least one did, and 2 if nobody
answered. Many cases that fail for the same reason share a line, with the likely cause.

The files: this one is the command, `exchange` communicates, `transcript` reads the answers, `judge` decides, `causes`
finds common causes, and `results` reports; `peers` and `compare` run the servers of several libraries. The cases are
in `rfc6455.testing.cases`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from causes import told_alone
from clients import NoClientError, try_clients
from exchange import Server
from judge import Result, Verdict, judge
from results import Progress, aligned, as_json, as_junit, causes, summary, table

import rfc6455
from rfc6455.testing.cases import Case, cases_for

EXIT_FAILED, EXIT_NOBODY = 1, 2

# The number of cases that run at a time. Most of the time, each of them waits for the peer.
AT_ONCE = 16

Step = Callable[[Result], None]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    cases = chosen_cases(options)
    if options.list:
        print(*aligned([(case.id, case.clause, case.sentence) for case in cases]), sep="\n")
        return 0
    progress = Progress(len(cases))
    try:
        results = run(options, cases, progress.step)
    except (OSError, NoClientError) as error:
        print(f"nobody answered: {error}", file=sys.stderr)
        return EXIT_NOBODY
    finally:
        progress.clear()
    tell(options, results)
    return 0 if all(result.verdict.passed for result in results) else EXIT_FAILED


# ---- Arguments ----


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Checks a WebSocket server or client against RFC 6455.")
    tested = parser.add_mutually_exclusive_group(required=True)
    tested.add_argument("uri", nargs="?", type=parse_uri, help="the server to check, such as ws://localhost:9001/")
    tested.add_argument(
        "--listen", type=parse_address, metavar="[HOST:]PORT", help="check clients that connect here; 0: any free port"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="cases to run, such as 'close.*'"
    )
    parser.add_argument("--list", action="store_true", help="print the cases and run none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results to this file as JUnit's XML")
    parser.add_argument("--failed", action="store_true", help="show only the cases that FAILED")
    parser.add_argument("--each", action="store_true", help="show each case, even if many have the same cause")
    parser.add_argument("--timeout", type=parse_seconds, default=2.0, metavar="SECONDS", help="default 2")
    parser.add_argument(
        "--wait", type=parse_seconds, default=30.0, metavar="SECONDS", help="wait for the next request (default 30)"
    )
    parser.add_argument("--insecure", action="store_true", help="accept any certificate for wss:")
    options = parser.parse_args(arguments)
    if not chosen_cases(options):
        parser.error("no case has such an id; --list prints them all")
    return options


def parse_uri(text: str) -> rfc6455.URI:
    try:
        return rfc6455.parse_uri(text)
    except rfc6455.LocalProtocolError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a port nor a host and a port")
    return host.strip("[]") or "127.0.0.1", int(port)


def parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def chosen_cases(options: argparse.Namespace) -> list[Case]:
    cases = cases_for(rfc6455.SERVER if options.listen is None else rfc6455.CLIENT)
    patterns = options.only or ["*"]
    return [case for case in cases if any(fnmatchcase(case.id, pattern) for pattern in patterns)]


# ---- Running ----


def run(options: argparse.Namespace, cases: list[Case], step: Step) -> list[Result]:
    """
    :raises OSError: if the server does not accept connections, or it is not possible to listen on the port.
    :raises NoClientError: if no client came.
    """
    if options.listen is not None:
        with socket.create_server(options.listen) as listener:
            host, port = listener.getsockname()[:2]
            print(f"listening on ws://{host}:{port}/ for {len(cases)} connections", file=sys.stderr, flush=True)
            return try_clients(listener, cases, options.timeout, options.wait, AT_ONCE, step)
    server = Server(options.uri, options.timeout, tls_context(options))
    return try_server(server, cases, step)


def tls_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.uri.secure:
        return None
    context = ssl.create_default_context()
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def try_server(server: Server, cases: list[Case], step: Step) -> list[Result]:
    """Run the cases, several at once, and return the results in the order of the cases.

    :raises OSError: if the server does not accept connections.
    """
    server.connect().close()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {pool.submit(try_case, server, case): at for at, case in enumerate(cases)}
        results = {}
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            step(future.result())
    return [results[at] for at in range(len(cases))]


def try_case(server: Server, case: Case) -> Result:
    begin = time.monotonic()
    try:
        verdict = judge(case, server.run(case))
    except OSError as error:
        verdict = Result(case, Verdict.FAILED, f"no connection: {error}", "no connection")
    return replace(verdict, seconds=time.monotonic() - begin)


# ---- Reports ----


def tell(options: argparse.Namespace, results: list[Result]) -> None:
    listed = results if options.each else told_alone(results)
    shown = [result for result in listed if result.verdict is Verdict.FAILED or not options.failed]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(*table(shown, width), *causes(results), *summary(results), sep="\n")
    tested, role = who(options)
    if options.json:
        options.json.write_text(json.dumps(as_json(tested, role, results), indent=1) + "\n")
    if options.junit:
        options.junit.write_text(as_junit(tested, role, results), encoding="utf-8")


def who(options: argparse.Namespace) -> tuple[str, str]:
    if options.listen is None:
        uri = options.uri
        return f"{'wss' if uri.secure else 'ws'}://{uri.host_header}{uri.resource_name}", "server"
    return ":".join(map(str, options.listen)), "client"


if __name__ == "__main__":
    sys.exit(main())
