"""Tags of experiments. `python scripts/version_tag.py --list | --show TAG | --suggest`

`make experiment` tags what it ran. For a database that something else wrote with xetrack:
`python scripts/version_tag.py e0.1.0 --db FILE --table NAME --description "…" [--dry-run]` tags the
commit that is checked out, and says in the tag what the table holds. Exit code: 0, 1 or 2.
"""

import sys
from pathlib import Path


def main() -> int:
    from harness.console import Arguments, err, show_error
    from harness.errors import HarnessError

    parser = Arguments(description=__doc__)
    parser.add_argument("version", nargs="?", help="the tag to make, such as e0.1.0")
    parser.add_argument("--list", action="store_true", help="the tags, each with its first line")
    parser.add_argument("--show", metavar="TAG", help="all that a tag says")
    parser.add_argument("--suggest", action="store_true", help="the next version, and why")
    parser.add_argument("--db", type=Path, help="a database that xetrack wrote")
    parser.add_argument("--table", help="default: all tables of predictions")
    parser.add_argument("--description", default="", help="a sentence for the tag")
    parser.add_argument("--prefix", default="e", help="what stands before the numbers")
    parser.add_argument("--dry-run", action="store_true", help="only print what the tag would say")
    parser.add_argument("--json", action="store_true", help="for programs (--list, --suggest)")
    given = parser.parse_args()
    asked = [bool(given.version), given.list, bool(given.show), given.suggest]
    try:
        if sum(asked) != 1:
            raise HarnessError(
                "ask for one thing", fix="a version, --list, --show TAG or --suggest; --help"
            )
        return answer(given)
    except HarnessError as error:
        show_error(error)
        return error.code
    except KeyboardInterrupt:
        err.print("stopped")
        return 130


def answer(given: object) -> int:
    from harness.tell import tag_script

    root = Path.cwd()
    options = vars(given)
    if options["list"]:
        tag_script.print_list(root, options["prefix"], options["json"])
    elif options["show"]:
        tag_script.print_tag(root, options["show"], options["prefix"])
    elif options["suggest"]:
        suggest(root, options)
    else:
        tag_script.make_tag(
            root,
            options["version"],
            options["db"],
            options["table"],
            options["description"],
            options["prefix"],
            options["dry_run"],
        )
    return 0


def suggest(root: Path, options: dict[str, object]) -> None:
    """By what changed, where this is a benchmark of the harness; else the next patch."""
    from harness.tell import tag_script

    prefix, as_json = str(options["prefix"]), bool(options["json"])
    if options["db"] is None and prefix == "e" and (root / "benchmark.toml").exists():
        from harness.suggest import suggest as by_changes

        found = by_changes(root)
    else:
        found = tag_script.next_patch(root, prefix)
    tag_script.print_next(found, as_json)


if __name__ == "__main__":
    sys.exit(main())
