"""What can go wrong on the way to a demo.

EmbeddedError
├── WeightsError          the model's file cannot be used
│   ├── WeightsMissingError   no file of weights is installed
│   └── WeightsCorruptError   the file is not the one this demo was made for
├── RuntimeMissingError   the wheel that runs the model is not installed here
├── CommandMissingError   a command of moa is not installed beside this Python
├── SettingsError         the environment lacks something, or names half an endpoint
└── ChildError            a child process did not do its part
    ├── ChildDiedError        it ended when it should have been running
    └── ChildSlowError        it was not ready in time
"""

ELSEWHERE = (
    "or point the demo at any OpenAI-compatible endpoint instead, for example "
    "OPENAI_BASE_URL=http://127.0.0.1:11434/v1 MODELS=llama3.2,qwen2.5 (see --help)"
)


class EmbeddedError(Exception):
    """Anything the demo can explain in a sentence."""


class WeightsError(EmbeddedError):
    """The model's file cannot be used."""


class WeightsMissingError(WeightsError):
    """No file of weights is installed."""


class WeightsCorruptError(WeightsError):
    """The file is not the one this demo was made for."""


class RuntimeMissingError(EmbeddedError):
    """The wheel that runs the model is not installed here."""


class CommandMissingError(EmbeddedError):
    """A command of moa is not installed beside this Python."""


class SettingsError(EmbeddedError):
    """The environment lacks something, or names half an endpoint."""


class ChildError(EmbeddedError):
    """A child process did not do its part."""

    def __init__(self, name: str, what: str, tail: str) -> None:
        self.name = name
        """Which child, in the words of the demo."""
        self.tail = tail
        """The last lines it wrote to its standard error."""
        super().__init__(f"{name} {what}" + (f"; its last words:\n{tail}" if tail else ""))


class ChildDiedError(ChildError):
    """A child ended when it should have been running."""


class ChildSlowError(ChildError):
    """A child was not ready in time."""
