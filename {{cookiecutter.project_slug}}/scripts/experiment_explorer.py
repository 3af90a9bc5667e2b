"""Look at past experiments. `python scripts/experiment_explorer.py list | show TAG | diff A B | …`

    list [--metric NAME] [--where NAME=VALUE] [--sort NAME] [--limit N] [--json]
    show TAG [--json]           plan and verdicts, params, metrics, provenance, artefacts, size
    diff A B [--json]           paired verdicts, params, code, data, environment, prompts
    get TAG [NAME] [--out FILE] one file, model, table or the report; without a name, what there is
    checkout TAG                all of it in a read-only folder beside the project
    cleanup [TAG]               removes such folders

The working tree is never touched. Exit code: 0, 1 for findings, 2 for wrong use.
"""

import sys

COMMANDS = ("list", "show", "diff", "get", "checkout", "cleanup")


def main() -> None:
    from harness.cli import main as run
    from harness.console import err, visible

    asked = sys.argv[1:2]
    if not asked or asked[0] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if asked else 2)
    if asked[0] not in COMMANDS:
        err.print(f"error: there is no command {visible(asked[0])!r}; {', '.join(COMMANDS)}")
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
