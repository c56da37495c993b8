"""The endpoints that others have protocols for: front ends, streams of any bytes, and those that watch a gateway."""

from __future__ import annotations

from millstream.dialects.ag_ui.request import RunAgentInput
from millstream.dialects.ui_messages.request import ChatAsk
from millstream.server.openapi import front_shapes as fronts
from millstream.server.openapi import gateway_shapes as own
from millstream.server.openapi import shapes
from millstream.server.openapi.operation import RUN, SSE, Operation, Parameter

_PLACE = Parameter("last-event-id", "header", "The id of the last event that was received, such as `17-0`.")
_INDEX = {"type": "integer", "minimum": -999_999, "maximum": 999_999}
_VERSION_ABOUT = "Which version of the npm package `ai` reads the answer, if not the one that the gateway is set to."
_VERSION = {"type": "integer", "enum": [5, 6, 7]}
_VERSIONS = (
    Parameter("x-millstream-ui-stream", "header", _VERSION_ABOUT, _VERSION),
    Parameter("ui_stream", "query", "The same, for clients that cannot set headers.", _VERSION),
)
_CHAT = Parameter("id", "path", "The chat's, as `useChat` has it, or a run's.")
_SAID = {"id": "m1", "role": "user"}

FRONT_ENDS = (
    Operation(
        "post",
        "/api/chat",
        "Front ends",
        "chat",
        "Chat, as `useChat` does",
        "The body is what `DefaultChatTransport` sends; `model`, `system`, `max_tokens` and `tools` may be added. "
        "Answers to questions about tools come in the messages. With the header `x-millstream-run` of a run that was "
        "begun before, that run is said again.",
        body=ChatAsk,
        events=fronts.UiPart,
        parameters=_VERSIONS,
        example={"id": "chat1", "messages": [{**_SAID, "parts": [{"type": "text", "text": "Tell me about rivers."}]}]},
        done=True,
    ),
    Operation(
        "get",
        "/api/chat/{id}/stream",
        "Front ends",
        "chat_resume",
        "Read the answer that is under way again, from its beginning",
        "204: none is. With `startIndex` also one that has ended, from that chunk on.",
        events=fronts.UiPart,
        nothing=True,
        parameters=(
            _CHAT,
            Parameter("startIndex", "query", "Chunks to leave out; below 0 they are counted from the end.", _INDEX),
            *_VERSIONS,
        ),
        done=True,
    ),
    Operation(
        "post",
        "/api/chat/{id}/stop",
        "Front ends",
        "chat_stop",
        "Stop the answer that is under way",
        answer=shapes.Stopped,
        parameters=(_CHAT,),
    ),
    Operation(
        "post",
        "/agui",
        "Front ends",
        "run_agent",
        "Run an agent, as AG-UI's clients do",
        "`forwardedProps` may name `model`, `system` and `max_tokens`. With the `runId` of a run that was begun "
        "before, that run is said again, from `last-event-id` on. `resume` answers the questions of an interrupt.",
        body=RunAgentInput,
        events=fronts.AgUiEvent,
        parameters=(_PLACE,),
        example={"threadId": "thread1", "runId": "run1", "messages": [{**_SAID, "content": "Tell me about rivers."}]},
    ),
    Operation(
        "get",
        "/agui",
        "Front ends",
        "agent_again",
        "Read a run of an agent again",
        "204: there is none of that name.",
        events=fronts.AgUiEvent,
        nothing=True,
        parameters=(Parameter("runId", "query", "The run, as its client called it."), _PLACE),
    ),
)

_BYTES = ("*/*",)
_STREAM = Parameter(
    "name", "path", "The stream. Names may have slashes in them; `runs/` is not for streams of one's own."
)
_OFFSET = Parameter("offset", "query", "Where to read from: an offset that was given, `-1` (the beginning) or `now`.")
_LIVE = Parameter(
    "live",
    "query",
    "`long-poll` waits for what comes next; `sse` tells everything as it comes, as events `data` and `control`.",
    {"type": "string", "enum": ["long-poll", "sse"]},
)
_KNOWN = Parameter("if-none-match", "header", "The `etag` of what is known: 304 says that it is still the same.")
_CLOSES = Parameter("stream-closed", "header", "`true`: nothing follows.", {"type": "string", "enum": ["true"]})
_SECONDS = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,8})$"}
_WRITER = (
    Parameter("producer-id", "header", "Who writes. With the next two, what is sent twice is written once."),
    Parameter("producer-epoch", "header", "Counts the lives of that writer.", _SECONDS),
    Parameter("producer-seq", "header", "Counts its requests, from 0 on.", _SECONDS),
)
_HEAD = {"200": "The stream's kind and where it ends are in the headers `content-type` and `stream-next-offset`."}
_UNCHANGED = {"204": "Nothing came in time.", "304": "It is what `if-none-match` named."}

DURABLE = (
    Operation(
        "get",
        "/v1/stream/runs/{run_id}",
        "Durable Streams",
        "read_run_stream",
        "Read a run's events, from any place and as they come",
        "A JSON array, or events of such arrays.",
        kinds=("application/json", SSE),
        parameters=(RUN, _OFFSET, _LIVE, _KNOWN),
        statuses=_UNCHANGED,
        failure=fronts.DurableError,
    ),
    Operation(
        "head",
        "/v1/stream/runs/{run_id}",
        "Durable Streams",
        "describe_run_stream",
        "How far is a run?",
        parameters=(RUN,),
        statuses=_HEAD,
        failure=None,
    ),
    Operation(
        "put",
        "/v1/stream/{name}",
        "Durable Streams",
        "make_stream",
        "Make a stream",
        "The body, if any, is how it begins; `content-type` is that of the stream.",
        takes=_BYTES,
        parameters=(
            _STREAM,
            Parameter("stream-ttl", "header", "It is kept for so many seconds after its last use.", _SECONDS),
            Parameter("stream-expires-at", "header", "Or until then.", {"type": "string", "format": "date-time"}),
            _CLOSES,
            Parameter("stream-forked-from", "header", "The path of a stream that it goes on from."),
            Parameter("stream-fork-offset", "header", "The offset there; without it, the end."),
        ),
        statuses={"200": "It was there already, and is the same.", "201": "It was made."},
        failure=fronts.DurableError,
    ),
    Operation(
        "post",
        "/v1/stream/{name}",
        "Durable Streams",
        "append",
        "Write to a stream",
        "In a stream of JSON, each element of an array is a message.",
        takes=_BYTES,
        parameters=(
            _STREAM,
            _CLOSES,
            Parameter("stream-seq", "header", "Has to grow, as text, from one request to the next."),
            *_WRITER,
        ),
        statuses={"200": "It was written, as the writer's next.", "204": "It was written, or had been before."},
        failure=fronts.DurableError,
    ),
    Operation(
        "get",
        "/v1/stream/{name}",
        "Durable Streams",
        "read_stream",
        "Read a stream, from any place and as it comes",
        kinds=_BYTES,
        parameters=(_STREAM, _OFFSET, _LIVE, _KNOWN),
        statuses=_UNCHANGED,
        failure=fronts.DurableError,
    ),
    Operation(
        "head",
        "/v1/stream/{name}",
        "Durable Streams",
        "describe_stream",
        "What is a stream, and where does it end?",
        parameters=(_STREAM,),
        statuses=_HEAD,
        failure=None,
    ),
    Operation(
        "delete",
        "/v1/stream/{name}",
        "Durable Streams",
        "delete_stream",
        "Delete a stream",
        parameters=(_STREAM,),
        statuses={"204": "It is no longer there."},
        failure=fronts.DurableError,
    ),
)

_DAY = {"type": "string", "format": "date"}

GATEWAY = (
    Operation("get", "/health", "Gateway", "health", "Does it serve?", answer=own.Health),
    Operation(
        "get",
        "/api/v1/state",
        "Gateway",
        "state",
        "Requests, models and providers in figures",
        answer=own.GatewayState,
    ),
    Operation(
        "get",
        "/api/v1/usage",
        "Gateway",
        "usage",
        "What was used, and what it cost",
        "Admins see everybody's, others their own.",
        answer=own.UsageReport,
        parameters=(
            Parameter("from", "query", "The first day (UTC); 30 days before the last, without it.", _DAY),
            Parameter("to", "query", "The last day; today, without it.", _DAY),
            Parameter(
                "by", "query", "What to group by: some of `key`, `user`, `model` and `day`, with commas between."
            ),
        ),
    ),
    Operation(
        "get",
        "/metrics",
        "Gateway",
        "metrics",
        "Metrics for Prometheus",
        "Where credentials are required, for admins (unless `metrics.public`).",
        kinds=("text/plain",),
    ),
)
