"""Shows in the trace what a model was asked and what it answered, where the operator has switched that on."""

import json

from opentelemetry import trace

from moa_server.domain.conversation import Conversation, Part
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.models.wrapper import Wrapper
from moa_server.telemetry import names


class RecordedTexts(Wrapper):
    """A provider whose texts are in the span of each call. It stands between Accounted, whose span it is, and it."""

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        span = trace.get_current_span()
        if not span.is_recording():
            return await self._model.speak(prompt, terms)
        span.set_attribute(names.INPUT_MESSAGES, _asked(prompt.messages))
        reply = await self._model.speak(prompt, terms)
        span.set_attribute(names.OUTPUT_MESSAGES, _answered(reply))
        return reply


def _asked(messages: Conversation) -> str:
    turns = ({"role": message.role.value, "parts": [_part(part) for part in message.parts]} for message in messages)
    return json.dumps([*turns], ensure_ascii=False)


def _part(part: Part) -> dict[str, str]:
    if part.image is not None:  # its bytes are no text, and would be most of the span
        return {"type": "blob", "mime_type": part.image.media_type, "modality": "image"}
    return {"type": "text", "content": part.text}


def _answered(reply: Reply) -> str:
    said = {"type": "text", "content": reply.text}
    turn = {"role": "assistant", "parts": [said], "finish_reason": reply.finish_reason.value}
    return json.dumps([turn], ensure_ascii=False)
