"""Takes down what a model says: its text without reasoning, why it stopped, and what it used."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog

from moa_server.domain import tokens
from moa_server.domain.errors import (
    ModelAnsweredNothing,
    ModelAnswerTooLong,
    ModelError,
    ModelOnlyReasoned,
    ModelRefused,
)
from moa_server.domain.model import FinishReason, ModelSpec, Prompt, Reply
from moa_server.domain.usage import Certainty, Usage
from moa_server.providers.complaint import identifier
from moa_server.providers.log_throttle import LogThrottle
from moa_server.providers.reasoning import ReasoningFilter

LONGEST_TEXT: Final = 2 * 1024 * 1024
"""Of an answer, and of its reasoning, in bytes: whatever a model may write, no more is held."""
_BYTES_A_TOKEN: Final = 32
"""Several times what the tokens of any text come to in the mean."""
_ALWAYS_ALLOWED: Final = 16 * 1024
"""Bytes of a text that is to have few tokens: single ones, such as those of blanks, can be long."""
_MOST_TOKENS: Final = 1 << 40
"""More than any call can have."""
_LONGEST_NAME: Final = 512
"""Of a model, as its endpoint tells it."""

_log = structlog.stdlib.get_logger()
_unknown_words = LogThrottle()


class Transcript:
    """One answer, as far as it has come."""

    def __init__(self, spec: ModelSpec, prompt: Prompt, reasoning: ReasoningFilter) -> None:
        self._spec = spec
        self._prompt = prompt
        self._filter = reasoning
        self._said: list[str] = []
        self._unheard: list[str] = []
        self._has_words = False
        self._thought: list[str] = []
        asked_for = prompt.most_output(spec)
        self._text_left = _most_bytes(asked_for)
        # Not every endpoint counts reasoning among the tokens that a call asks for.
        self._thought_left = _most_bytes(max(asked_for, spec.max_output))
        self._logprobs = 0.0
        self._logprob_count = 0
        self._tokens = False
        self._reasoned = False
        self.reasons_unseen = False
        """Whether it is reasoning now, of which not every token is shown."""
        self._usage: Usage | None = None
        self._usage_final = False
        self.finish: FinishReason | None = None
        """None until the model has said why it stopped."""
        self.refused = False
        self.called_tool = False
        """Whether the model waits for a tool that nobody has offered it."""
        self.served_model = ""

    def say(self, text: str) -> None:
        """Take a piece of text, in which there may be reasoning between tags.

        Raises:
            ModelAnswerTooLong: with it, there is more than any answer may be long.
        """
        if text:
            self._tokens = True
            self.reasons_unseen = False
            size = _bytes_of(text)
            if size > self._text_left + self._thought_left:  # a piece of nothing but tags takes long to be parted
                self._measure(size, 0)
            said, thought = self._filter.feed(text)
            thought_bytes = _bytes_of(thought)
            self._measure(size - thought_bytes, thought_bytes)
            self._sort(said, thought)

    def think(self, text: str) -> None:
        """Take a piece of reasoning.

        Raises:
            ModelAnswerTooLong: as ``say``.
        """
        if text:
            self._tokens = True
            self._measure(0, _bytes_of(text))
            self._thought.append(text)

    def begin_reasoning(self) -> None:
        """Note that reasoning begins of which not every token will be shown, maybe none."""
        self._tokens = self._reasoned = self.reasons_unseen = True

    def end_reasoning(self) -> None:
        """Note that such reasoning, if there was any, has ended."""
        self._tokens = self._tokens or self.reasons_unseen
        self.reasons_unseen = False

    def weigh(self, logprob: float) -> None:
        """Take the log-probability of one token."""
        self._logprobs += logprob
        self._logprob_count += 1

    def stop(self, word: str, known: Mapping[str, FinishReason]) -> None:
        """Take why the model stopped, in a word of its dialect."""
        self.finish = known.get(word, FinishReason.OTHER)
        if word not in known and _unknown_words.due(self._spec.name) is not None:
            _log.warning("upstream.finish_unknown", model=self._spec.name, finish_reason=identifier(word))

    def report(self, usage: Usage | None, *, final: bool) -> None:
        """Take the endpoint's own counts; None when they are none that can be read."""
        self._usage = usage if usage is not None and _is_believable(usage) else None
        self._usage_final = final

    @property
    def has_final_usage(self) -> bool:
        """Whether the endpoint has given counts of the whole."""
        return self._usage is not None and self._usage_final

    def tokens_came(self) -> bool:
        """Tell whether any token has come, or reasoning has begun or ended, since this was last asked."""
        came, self._tokens = self._tokens, False
        return came

    def unheard(self) -> str:
        """Return the text that has come since this was last asked. White space waits for the first word."""
        if not self._has_words or not self._unheard:
            return ""
        text = "".join(self._unheard)
        self._unheard.clear()
        self._said.append(text)
        return text

    def end(self) -> None:
        """Note that nothing more comes."""
        self._sort(*self._filter.end())

    def usage(self) -> Usage:
        """Return what was used so far: as the endpoint counted, or estimated."""
        reasoning = "".join(self._thought)
        # Who writes more than was asked for keeps to no limit of tokens either.
        most = _MOST_TOKENS if self._is_too_long else self._prompt.most_output(self._spec)
        guess = _estimate(self._spec, self._prompt, "".join([*self._said, *self._unheard]), reasoning, most)
        told = self._usage
        if told is None or (guess.output_tokens and not told.output_tokens):
            return guess
        if not self._usage_final:
            return replace(
                guess,
                input_tokens=told.input_tokens,
                cached_input_tokens=told.cached_input_tokens,
                cache_write_tokens=told.cache_write_tokens,
                output_tokens=max(told.output_tokens, guess.output_tokens),
            )
        if told.reasoning_tokens or not guess.reasoning_tokens:
            return told
        # The endpoint does not tell reasoning apart from the other tokens that it counted.
        thought = min(guess.reasoning_tokens, told.output_tokens)
        return replace(told, reasoning_tokens=thought, certainty=Certainty.ESTIMATED)

    def reply(self) -> Reply:
        """Return the whole answer.

        Raises:
            ModelRefused: the model declined, or its words were withheld.
            ModelOnlyReasoned: it reasoned, and said nothing.
            ModelAnsweredNothing: there is no text, or it only leads to the call of a tool.
        """
        text = "".join(self._said)
        withheld = self.finish is FinishReason.CONTENT_FILTER and not text
        if self.refused or withheld:
            raise ModelRefused(f"{self._spec.name} declined to answer")
        if self.called_tool:
            failure = ModelAnsweredNothing(
                f"{self._spec.name} called a tool in place of an answer, though it is offered none"
            )
            failure.permanent = True  # it is asked the same again, and will want the same
            raise failure
        if not text:
            raise self._without_text()
        return Reply(
            text,
            self.finish or FinishReason.UNSPECIFIED,
            self.usage(),
            self.served_model[:_LONGEST_NAME] or self._spec.upstream_model,
            self._logprobs / self._logprob_count if self._logprob_count else None,
        )

    def _without_text(self) -> ModelError:
        """Return why there is no text."""
        name, told = self._spec.name, self._usage or Usage()
        was_cut = self.finish is FinishReason.LENGTH
        # Tokens of which none came were hidden, and so reasoning, whether or not their endpoint says so.
        counted = told.output_tokens > 0 or self._prompt.reasons(self._spec)
        hidden = told.reasoning_tokens > 0 or (was_cut and counted and not self._unheard)
        if not (self._thought or self._reasoned or hidden):
            return ModelAnsweredNothing(f"{name} answered nothing")
        if not was_cut:
            return ModelOnlyReasoned(f"{name} reasoned, and stopped before it had said anything")
        most = self._prompt.most_output(self._spec)
        # What an agent may write is bounded by what its model may: then that has to be raised first.
        setting = "max_tokens" if most < self._spec.max_output else "max_output"
        return ModelOnlyReasoned(
            f"{name} used all of its {most} tokens for reasoning; raise {setting}, or lower reasoning_effort",
            metadata={"setting": setting, "tokens": str(most)},
        )

    def _measure(self, text: int, thought: int) -> None:
        """Take so many bytes from what may come."""
        self._text_left -= text
        self._thought_left -= thought
        if self._is_too_long:
            raise ModelAnswerTooLong(f"{self._spec.name} wrote more than its answer may be long")

    @property
    def _is_too_long(self) -> bool:
        return min(self._text_left, self._thought_left) < 0

    def _sort(self, said: str, thought: str) -> None:
        if said:
            self._has_words = self._has_words or not said.isspace()
            self._unheard.append(said)
        if thought:
            self._thought.append(thought)


def _is_believable(usage: Usage) -> bool:
    """Tell whether counts can be true of an answered prompt; those that contradict themselves are not believed."""
    return (
        0 < usage.input_tokens < _MOST_TOKENS
        and 0 <= usage.output_tokens < _MOST_TOKENS
        and min(usage.cached_input_tokens, usage.cache_write_tokens) >= 0
        and usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens
        and 0 <= usage.reasoning_tokens <= usage.output_tokens
    )


def _most_bytes(tokens_allowed: int) -> int:
    """Return how long a text of so many tokens may be."""
    return min(max(tokens_allowed * _BYTES_A_TOKEN, _ALWAYS_ALLOWED), LONGEST_TEXT)


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _estimate(spec: ModelSpec, prompt: Prompt, text: str, reasoning: str, most: int) -> Usage:
    """Return an upper estimate by what was sent and what came, of which at most so many tokens are billed."""
    thought = tokens.of_text(reasoning, spec.counted_by)
    return Usage(
        input_tokens=prompt.tokens(spec),
        output_tokens=min(tokens.of_text(text, spec.counted_by) + thought, most),
        reasoning_tokens=min(thought, most),
        certainty=Certainty.ESTIMATED,
    )
