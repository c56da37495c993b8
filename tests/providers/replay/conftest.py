import json
from pathlib import Path

import pytest

CHAT_HEAD = '{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
CHAT_STREAM = (
    f'data: {CHAT_HEAD}"delta":{{"role":"assistant","content":""}},"finish_reason":null}}]}}\n\n'
    f'data: {CHAT_HEAD}"delta":{{"content":"Good "}},"finish_reason":null}}]}}\n\n'
    f'data: {CHAT_HEAD}"delta":{{"content":"day"}},"finish_reason":null}}]}}\n\n'
    f'data: {CHAT_HEAD}"delta":{{}},"finish_reason":"stop"}}]}}\n\n'
    "data: [DONE]\n\n"
)
CHAT_WHOLE = json.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Good day"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
)  # fmt: skip
REFUSAL = json.dumps({"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate"}})


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with scenarios and recordings of every form."""
    (tmp_path / "greet.toml").write_text('[[replies]]\ntext = "Hello there"\n')
    (tmp_path / "broken.toml").write_text("[[replies]]\ntxt = 1\n")
    (tmp_path / "alone.sse").write_text(CHAT_STREAM)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/inner.json").write_text('{"replies": [{"text": "inner"}]}')
    for name, file, content, meta in (
        ("recorded", "response.sse", CHAT_STREAM, {"event_ms": [1, 2, 3, 4, 5]}),
        ("whole", "response.json", CHAT_WHOLE, {}),
        ("refused", "response.json", REFUSAL, {"http_status": 429, "response_headers": {"Retry-After": "7"}}),
    ):
        folder = tmp_path / "recordings" / name
        folder.mkdir(parents=True)
        (folder / file).write_text(content)
        (folder / "meta.json").write_text(json.dumps({"dialect": "openai-chat", "unknown": 1, **meta}))
    return tmp_path
