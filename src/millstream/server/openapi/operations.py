"""The endpoints for apps, one by one: what each takes and answers."""

from __future__ import annotations

from millstream.server.agent.asking import AgentAsk, ApproveAsk, RouteAsk
from millstream.server.conversation.asking import TalkAsk
from millstream.server.openapi import shapes
from millstream.server.openapi.operation import NUMBER, RUN, Operation, Parameter
from millstream.server.openapi.protocols import DURABLE, FRONT_ENDS, GATEWAY
from millstream.server.plain.asking import Ask

TAGS = {
    "Streaming": "A model's answer as events. It is kept as a run while it is made: whoever loses the connection takes "
    "it up again. The same events come over a WebSocket at `/ws/stream`.",
    "Runs": "Answers that are kept, and those under way.",
    "Conversations": "Conversations of an app's users, kept and told to the model, with intents and suggestions.",
    "Agents": "Answers for which tools run here, with everything that happens told as it happens.",
    "Front ends": "What stock clients of chat pages and agents speak: the AI SDK's UI message stream (`useChat`), and "
    "AG-UI. Tools run here as they do for agents. Runs go on without their readers, until they are stopped.",
    "Durable Streams": "Streams that are written once and read by many, from any place in them: the protocol of "
    "https://github.com/durable-streams/durable-streams. Runs can be read the same way.",
    "Gateway": "The gateway itself, in figures.",
}

_LAST = Parameter("last-event-id", "header", "The number of the last event that was received.", NUMBER)
_AFTER = Parameter("after", "query", "The same, for clients that cannot set headers.", NUMBER)
_USER = Parameter(
    "user_id",
    "path",
    "Whose the conversation is. Credentials of one user are for that user alone.",
    {"type": "string", "minLength": 1, "maxLength": 128},
)
_SESSION = Parameter("session_id", "path", "The conversation.")
_HELLO = {"query": "Tell me about rivers."}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "post",
        "/api/v1/stream",
        "Streaming",
        "stream",
        "Ask, and read the answer as it comes",
        "The answer's header `x-millstream-run` names the run. Each event has a number (`id:`) to go on after.",
        body=Ask,
        events=shapes.StreamEvent,
        nothing=True,
        parameters=(_LAST,),
        example=_HELLO,
    ),
    Operation(
        "get",
        "/api/v1/stream/{run_id}",
        "Streaming",
        "resume",
        "Go on reading a run",
        "What follows an event, from the run's journal and then as it comes. 204: nothing is left.",
        events=shapes.StreamEvent,
        nothing=True,
        parameters=(RUN, _LAST, _AFTER),
    ),
    Operation(
        "get",
        "/api/v1/runs",
        "Runs",
        "list_runs",
        "List runs",
        answer=shapes.RunList,
        parameters=(
            Parameter("limit", "query", "At most so many; 100.", {"type": "integer", "minimum": 1, "maximum": 1000}),
        ),
    ),
    Operation("get", "/api/v1/runs/{run_id}", "Runs", "show_run", "Show a run", answer=shapes.Run, parameters=(RUN,)),
    Operation(
        "delete",
        "/api/v1/runs/{run_id}",
        "Runs",
        "delete_run",
        "Forget a run",
        "One that is under way is stopped.",
        answer=shapes.Deleted,
        parameters=(RUN,),
    ),
    Operation(
        "get",
        "/api/v1/runs/{run_id}/events",
        "Runs",
        "read_run",
        "Read what is kept of a run",
        "One JSON object a line, as the journal has it.",
        lines="application/x-ndjson",
        parameters=(RUN, Parameter("after", "query", "The number of the event before.", NUMBER)),
    ),
    Operation(
        "post",
        "/api/v1/runs/{run_id}/cancel",
        "Runs",
        "cancel_run",
        "Stop a run",
        answer=shapes.Cancelled,
        parameters=(RUN,),
    ),
    Operation(
        "post",
        "/api/v1/runs/{run_id}/approve",
        "Runs",
        "approve",
        "Say whether a tool may run",
        "For tools whose permission is `ask`.",
        body=ApproveAsk,
        answer=shapes.Approved,
        parameters=(RUN,),
        example={"approved": True},
    ),
    Operation(
        "post",
        "/mcp/chat/stream",
        "Agents",
        "agent_stream",
        "Chat with tools that run here, as events",
        body=AgentAsk,
        events=shapes.AgentEvent,
        example={"query": "What is the weather in Ulm?"},
    ),
    Operation(
        "get",
        "/mcp/chat/stream/{run_id}",
        "Agents",
        "agent_resume",
        "Read a run with tools again, from its beginning",
        events=shapes.AgentEvent,
        parameters=(
            RUN,
            Parameter("accumulated", "query", "`false` leaves the whole text so far out.", {"type": "boolean"}),
        ),
    ),
    Operation(
        "post",
        "/mcp/chat",
        "Agents",
        "agent_chat",
        "Chat with tools that run here, whole",
        body=AgentAsk,
        answer=shapes.AgentReply,
        example={"query": "What is the weather in Ulm?"},
    ),
    Operation("get", "/mcp/tools", "Agents", "list_tools", "List the tools", answer=shapes.ToolList),
    Operation(
        "post",
        "/api/v1/route",
        "Agents",
        "choose_model",
        "Which model would `auto` be?",
        body=RouteAsk,
        answer=shapes.RouteChoice,
        example=_HELLO,
    ),
    Operation(
        "post",
        "/api/conversation-stream/{user_id}",
        "Conversations",
        "talk_stream",
        "Say something, and read the answer as it comes",
        body=TalkAsk,
        events=shapes.TalkEvent,
        refused_as_event=True,
        parameters=(_USER,),
        example={"message": "Where does the Nile begin?"},
    ),
    Operation(
        "get",
        "/api/conversation-stream/{user_id}/{run_id}",
        "Conversations",
        "talk_resume",
        "Read an answer again, from its beginning",
        events=shapes.TalkEvent,
        parameters=(_USER, RUN),
    ),
    Operation(
        "post",
        "/api/conversation/{user_id}",
        "Conversations",
        "talk",
        "Say something, and wait for the answer",
        body=TalkAsk,
        answer=shapes.TalkReply,
        parameters=(_USER,),
        example={"message": "Where does the Nile begin?"},
    ),
    Operation(
        "get",
        "/api/conversation/{user_id}/sessions",
        "Conversations",
        "list_sessions",
        "List a user's conversations",
        answer=shapes.SessionList,
        parameters=(_USER,),
    ),
    Operation(
        "get",
        "/api/conversation/{user_id}/sessions/{session_id}",
        "Conversations",
        "show_session",
        "Show a conversation",
        answer=shapes.SessionDetail,
        parameters=(_USER, _SESSION),
    ),
    Operation(
        "delete",
        "/api/conversation/{user_id}/sessions/{session_id}",
        "Conversations",
        "delete_session",
        "Forget a conversation",
        answer=shapes.Deleted,
        parameters=(_USER, _SESSION),
    ),
    Operation(
        "post",
        "/api/conversation/{user_id}/sessions/{session_id}/stop",
        "Conversations",
        "stop_answer",
        "Stop the answer that is under way",
        answer=shapes.Stopped,
        parameters=(_USER, _SESSION),
    ),
    *FRONT_ENDS,
    *DURABLE,
    *GATEWAY,
)
