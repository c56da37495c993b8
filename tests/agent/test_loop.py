from __future__ import annotations

from millstream.agent.loop import (
    MARK,
    AskModel,
    RunTools,
    Stop,
    next_step,
    offered,
    restored,
    results_message,
    without_progress,
)
from millstream.core.messages import (
    Message,
    Opaque,
    ReasoningPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)

QUESTION = Message("user", (TextPart("Do it."),))
OURS = ToolCallPart("1", "read", "{}")
THEIRS = ToolCallPart("2", "open_door", "{}")
SERVER = ToolCallPart("3", "read", "{}", kind="server")


def is_ours(name: str) -> bool:
    return name == "read"


def said(*parts: TextPart | ToolCallPart) -> list[Message]:
    return [QUESTION, Message("assistant", parts)]


def test_the_conversation_alone_says_what_comes_next() -> None:
    assert next_step([], is_ours, 0, 15) == AskModel()
    assert next_step([QUESTION], is_ours, 0, 15) == AskModel()
    assert next_step(said(TextPart("Hi.")), is_ours, 1, 15) == Stop()
    assert next_step(said(OURS), is_ours, 1, 15) == RunTools((OURS,))
    assert next_step(said(OURS, THEIRS), is_ours, 1, 15) == RunTools((OURS,), mixed=True)
    assert next_step(said(THEIRS), is_ours, 1, 15) == Stop()
    assert next_step(said(SERVER), is_ours, 1, 15) == Stop()


def test_at_the_limit_only_a_mixed_turn_is_still_worked_on() -> None:
    assert next_step(said(OURS), is_ours, 15, 15) == Stop((OURS,))
    assert next_step(said(OURS, THEIRS), is_ours, 15, 15) == RunTools((OURS,), mixed=True)
    assert not Stop().exhausted
    assert Stop((OURS,)).exhausted


def test_results_come_in_the_order_of_their_calls() -> None:
    results = [ToolResultPart("2", "b"), ToolResultPart("1", "a")]
    assert results_message([OURS, THEIRS], results).parts == (results[1], results[0])


def test_a_tool_of_ours_takes_the_place_of_the_clients_of_that_name() -> None:
    ours, other = Tool("read", "ours"), Tool("open_door")
    request = Request("x", "m", (), tools=(Tool("read", "theirs"), other), tool_choice=ToolChoice("tool", ("read",)))
    first, later = offered(request, [ours], 1), offered(request, [ours], 2)
    assert first.tools == (other, ours)
    assert first.tool_choice == request.tool_choice
    assert later.tool_choice == ToolChoice("auto")


def test_a_restriction_of_the_tools_outlives_the_first_call() -> None:
    request = Request("x", "m", (), tool_choice=ToolChoice("any", ("read", "list")))
    assert offered(request, [], 2).tool_choice == ToolChoice("auto", ("read", "list"))


def test_progress_is_taken_out_of_the_assistants_words_alone() -> None:
    lines = f"{MARK}Starting\n{MARK}Thinking (step 1)\n"
    own = ReasoningPart(lines, signature=Opaque("millstream", "progress"))
    real = ReasoningPart(f"{lines}Hm.", signature=Opaque("anthropic", "s"))
    messages = [
        Message("user", (TextPart(f"{MARK}quoted\n"),)),
        Message("assistant", (own, real, TextPart(f"{lines}Hello."), OURS)),
        Message("assistant", (TextPart(lines),)),
    ]
    kept = without_progress(messages)
    assert kept == (
        messages[0],
        Message("assistant", (ReasoningPart("Hm.", signature=Opaque("anthropic", "s")), TextPart("Hello."), OURS)),
    )


def test_a_turn_as_the_model_wrote_it_takes_the_place_of_the_clients_version() -> None:
    earlier = Message("assistant", (TextPart("First."), ToolCallPart("0", "read", "{}")))
    earlier_result = Message("user", (ToolResultPart("0", "zero"),))
    turn = Message("assistant", (TextPart("Both."), OURS, THEIRS))
    kept = [earlier, earlier_result, turn, Message("user", (ToolResultPart("1", "one"),))]
    history = [
        QUESTION,
        Message("assistant", (TextPart("First."),)),
        Message("assistant", (TextPart("Both."), THEIRS)),
        Message("user", (ToolResultPart("2", "two"),)),
        Message("assistant", (TextPart("Later."),)),
    ]
    answers = Message("user", (ToolResultPart("1", "one"), ToolResultPart("2", "two")))
    assert restored(history, kept) == (QUESTION, earlier, earlier_result, turn, answers, history[-1])
    assert restored([QUESTION], kept) == (QUESTION,)
