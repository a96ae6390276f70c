"""inachus data: list, check and fetch data sets."""

import argparse
import sys


def add(commands) -> None:
    """Adds the command."""
    p = commands.add_parser("data", help="list, check or fetch data sets")
    p.set_defaults(run=lambda args: p.print_help())
    actions = p.add_subparsers(metavar="ACTION")
    a = actions.add_parser("list", help="the named data sets and where they lie")
    a.set_defaults(run=run_list)
    a = actions.add_parser("check", help="read a whole data set and list every odd file with its reason")
    a.add_argument("data", metavar="NAME|PATH")
    a.set_defaults(run=run_check)
    a = actions.add_parser("fetch", help="download a named data set into the cache, checksums verified")
    a.add_argument("name", metavar="NAME")
    a.set_defaults(run=run_fetch)


def run_list(args: argparse.Namespace) -> None:
    """Prints a table."""
    from inachus.engine.data import list_sources

    for name, what, where in list_sources():
        print(f"{name:16}{what}\n{'':16}{where}")


def run_check(args: argparse.Namespace) -> int:
    """Prints the findings; 3 if something is odd."""
    from inachus.engine.data import check

    findings = check(args.data)
    for file, reason in findings:
        print(f"{file}: {reason}")
    print(findings.summary, file=sys.stderr)
    return 3 if findings else 0


def run_fetch(args: argparse.Namespace) -> None:
    """Prints where the data lies."""
    from tqdm import tqdm

    from inachus.engine.data import fetch

    with tqdm(unit="B", unit_scale=True, disable=None) as bar:

        def progress(done, total):
            bar.total = total
            bar.update(done - bar.n)

        print(fetch(args.name, progress=progress))
