"""Starts the command line of the server, once what the libraries read at their import has been set."""

import os


def main() -> None:
    """Carry out the command line."""
    # The core of gRPC writes lines of its own among those of the log, such as one for each failed handshake.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from moa_server.cli import main as carry_out  # noqa: PLC0415 - gRPC reads the variable when it is imported

    carry_out()


if __name__ == "__main__":
    main()
