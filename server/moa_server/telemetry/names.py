"""The names of spans, attributes and metrics, in one place: the conventions for generative models still move.

With them the bounds of the histograms that bear these names.
"""

from typing import Final

# Scopes: who made a span or a metric.
SERVICE_SCOPE: Final = "moa_server.service"
METRICS_SCOPE: Final = "moa_server.telemetry"

# The server's span and its metric, by the conventions for remote procedure calls.
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
RPC_SERVER_DURATION: Final = "rpc.server.call.duration"
ERROR_TYPE: Final = "error.type"

# Runs, layers, agents and attempts, by the conventions for generative models where these have a name.
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
AGENT_NAME: Final = "gen_ai.agent.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a name
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"

# What the conventions have no name for.
RUN_ID: Final = "moa.run.id"
RUN_STATE: Final = "moa.run.state"
RUN_EPOCH: Final = "moa.run.epoch"
CALLER: Final = "moa.caller"
MIXTURE: Final = "moa.mixture"
STRATEGY: Final = "moa.strategy"
LAYER_INDEX: Final = "moa.layer.index"
AGENT_POSITION: Final = "moa.agent.position"
MODEL: Final = "moa.model"
ATTEMPT_KIND: Final = "moa.attempt.kind"
USAGE_CERTAINTY: Final = "moa.usage.certainty"
DEGRADATIONS: Final = "moa.degradations"
LENGTH_RATIO: Final = "moa.answer.length_ratio"
DEGRADATION_REASON: Final = "moa.degradation.reason"

# Operations: the values of OPERATION_NAME.
INVOKE_WORKFLOW: Final = "invoke_workflow"
INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"

# Metrics.
OPEN_RUNS: Final = "moa.runs.open"
RUNS_ENDED: Final = "moa.runs.ended"
AGENT_DURATION: Final = "moa.agent.duration"
MODEL_DURATION: Final = "gen_ai.client.operation.duration"
MODEL_FIRST_TOKEN: Final = "gen_ai.client.operation.time_to_first_chunk"  # noqa: S105 - a name
MODEL_TOKENS: Final = "gen_ai.client.token.usage"
COST: Final = "moa.cost"
DEGRADED: Final = "moa.degradations.count"
BREAKER: Final = "moa.model.breaker"

# The bounds of histograms: a run takes far longer than a usual call.
RPC_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
MODEL_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 300.0)
TOKENS: Final = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0)

# Keys that are bound to every line of a log.
LOG_TRACE_ID: Final = "trace_id"
LOG_TEXTS: Final = frozenset({"prompt", "messages", "text", "answer", "proposal", "partial_text", "body"})
"""Keys whose values are what people, models and endpoints said; shown only where that is switched on."""


def run_span(mixture: str) -> str:
    """Return the name of a run's span."""
    return f"{INVOKE_WORKFLOW} {mixture}"


def layer_span(index: int) -> str:
    """Return the name of a layer's span."""
    return f"layer {index}"


def agent_span(agent: str) -> str:
    """Return the name of an agent's span."""
    return f"{INVOKE_AGENT} {agent}"


def chat_span(model: str) -> str:
    """Return the name of an attempt's span."""
    return f"{CHAT} {model}"
