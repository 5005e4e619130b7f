"""``responder`` and ``python -m responder``."""


def main() -> None:
    """Run the command line."""
    from responder.cli.app import run

    run()


if __name__ == "__main__":
    main()
