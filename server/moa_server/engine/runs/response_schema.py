"""Holds a structured answer to its schema, and has one put right that does not satisfy it."""

from moa_server.domain.conversation import Conversation, Message, Role
from moa_server.domain.errors import AnswerMismatch
from moa_server.engine.schemas.answer_document import document_in
from moa_server.engine.schemas.compiler import compiled
from moa_server.engine.schemas.schema_check import SchemaCheck, TooManySteps
from moa_server.engine.schemas.subschema import Misfit


def check_schema(schema: str) -> None:
    """Make sure that answers can be held to a schema.

    Raises:
        InvalidRequest: it is no JSON Schema that can be used.
        SchemaTooCostly: to hold an answer to it has no bound, or too high a one.
    """
    compiled(schema)


async def structured(answer: str, schema: str) -> str:
    """Return the JSON of an answer, which satisfies its schema.

    Raises:
        AnswerMismatch: the answer holds no JSON, or none that does.
    """
    found = document_in(answer)
    if isinstance(found, Misfit):
        misfit = found
    else:
        try:
            fault = await SchemaCheck().misfit(compiled(schema), found.value)
        except TooManySteps:
            fault = Misfit("steps", "takes too long to be held to it")
        if fault is None:
            return found.text
        misfit = fault
    raise AnswerMismatch(
        f"the answer does not satisfy its schema: at {misfit.path} it {misfit.why}",
        metadata={"path": misfit.path, "keyword": misfit.keyword},
    )


def repair_request(asked: Conversation, text: str, complaint: AnswerMismatch, schema: str) -> Conversation:
    """Return the conversation in which an agent is asked to put its answer right."""
    request = (
        f"Your answer cannot be used: {complaint.detail}. Give the same answer again as one JSON document that "
        f"satisfies this JSON Schema, and nothing beside it:\n{schema}"
    )
    return (*asked, Message.of(Role.ASSISTANT, text), Message.of(Role.USER, request))
