"""What clients of Gemini's generateContent may send, by example. Cached content is refused before a translation."""

from __future__ import annotations

from typing import Any

from features.table import Sample, Samples, alone

_TOOL = {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}
_PNG = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0K"}}

Pair = tuple[dict[str, Any], dict[str, Any]]


def _user(*parts: Any) -> Pair:
    return {"contents": [{"role": "user", "parts": [{"text": "Hi"}, *parts]}]}, {}


def _model(*parts: Any) -> dict[str, Any]:
    turns = [("user", [{"text": "Hi"}]), ("model", [{"text": "Hello."}, *parts]), ("user", [{"text": "Go on."}])]
    return {"contents": [{"role": role, "parts": said} for role, said in turns]}


def _config(**fields: Any) -> dict[str, Pair]:
    return {f"`{name}`": ({"generationConfig": {name: value}}, {}) for name, value in fields.items()}


def _thinking(**config: Any) -> Pair:
    return {"generationConfig": {"thinkingConfig": config}}, {}


def _function(**fields: Any) -> Pair:
    declared = {"name": "f", "parametersJsonSchema": {"type": "object"}, **fields}
    return {"tools": [{"functionDeclarations": [declared]}]}, {"tools": [_TOOL]}


def _calling(**config: Any) -> Pair:
    return {"tools": [_TOOL], "toolConfig": {"functionCallingConfig": config}}, {"tools": [_TOOL]}


def _answered(signature: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    call = {"functionCall": {"name": "f", "args": {"a": 1}}, **(signature or {})}
    answer = {"functionResponse": {"name": "f", "response": {"output": "ok"}, **fields}}
    turns = [("user", {"text": "Hi"}), ("model", call), ("user", answer)]
    return {"tools": [_TOOL], "contents": [{"role": role, "parts": [part]} for role, part in turns]}


_ANSWER: dict[str, Sample] = {
    "`model`, method and `alt`, in the URL": ({}, {}),
    **_config(
        maxOutputTokens=50,
        stopSequences=["END"],
        temperature=0.5,
        topP=0.9,
        topK=5,
        presencePenalty=0.5,
        frequencyPenalty=0.5,
        seed=1,
        candidateCount=2,
        responseLogprobs=True,
        logprobs=2,
    ),
    "`responseModalities` of more than text": ({"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}, {}),
    "`responseModalities` of text alone": ({"generationConfig": {"responseModalities": ["TEXT"]}}, {}),
    "`responseMimeType` of JSON": ({"generationConfig": {"responseMimeType": "application/json"}}, {}),
    "`responseSchema`": (
        {"generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}},
        {},
    ),
    "`responseJsonSchema`": (
        {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}},
        {},
    ),
    **_config(
        responseFormat={"x": 1},
        speechConfig={"languageCode": "de"},
        imageConfig={"aspectRatio": "1:1"},
        mediaResolution="MEDIA_RESOLUTION_LOW",
        audioTimestamp=True,
        audioTranscriptionConfig={"x": 1},
        translationConfig={"x": 1},
        enableAffectiveDialog=True,
        enableEnhancedCivicAnswers=True,
        modelSelectionConfig={"x": 1},
        routingConfig={"x": 1},
    ),
}
_THINKING: dict[str, Sample] = {
    "`thinkingConfig.thinkingLevel`": _thinking(thinkingLevel="LOW"),
    "`thinkingConfig.thinkingBudget`": _thinking(thinkingBudget=2048),
    "`thinkingBudget: 0`": _thinking(thinkingBudget=0),
    "`thinkingBudget: -1`": _thinking(thinkingBudget=-1),
    "`thinkingConfig.includeThoughts`": _thinking(includeThoughts=True),
}
_CONDITIONS = alone(
    safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
    labels={"a": "b"},
    serviceTier="flex",
    modelArmorConfig={"x": 1},
    store=True,
)
_USER: dict[str, Sample] = {
    "`systemInstruction`": ({"systemInstruction": {"parts": [{"text": "S"}]}}, {}),
    "`text`": _user({"text": "a"}),
    "`inlineData`, image": _user(_PNG),
    "`inlineData`, PDF": _user({"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}}),
    "`inlineData`, audio": _user({"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}),
    "`inlineData`, video": _user({"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}),
    "`fileData`, `https:`": _user({"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png"}}),
    "`fileData`, `gs:`": _user({"fileData": {"mimeType": "image/png", "fileUri": "gs://b/y.png"}}),
    "`mediaResolution` of a part": (
        _user({**_PNG, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}})[0],
        _user(_PNG)[0],
    ),
    "`videoMetadata`": (_user({**_PNG, "videoMetadata": {"fps": 1}})[0], _user(_PNG)[0]),
    "`audioMetadata`, `audioTranscription`, `speechMetadata`": (
        _user({**_PNG, "audioMetadata": {"x": 1}, "audioTranscription": {"x": 1}, "speechMetadata": {"x": 1}})[0],
        _user(_PNG)[0],
    ),
    "`documentMetadata`, `spreadsheetMetadata`, `mediaProcessing`": (
        _user({**_PNG, "documentMetadata": {"x": 1}, "spreadsheetMetadata": {"x": 1}, "mediaProcessing": {"x": 1}})[0],
        _user(_PNG)[0],
    ),
    "a kind of part yet unknown": _user({"hologram": {"depth": 3}}),
}
_SAID: dict[str, Sample] = {
    "`text`": (_model(), {}),
    "`thought`": (_model({"text": "t", "thought": True, "thoughtSignature": "cw=="}), _model()),
    "`thoughtSignature` of a text": (_model({"text": "z", "thoughtSignature": "cw=="}), _model({"text": "z"})),
    "`inlineData`, image": (_model(_PNG), _model()),
    "`executableCode`": (_model({"executableCode": {"language": "PYTHON", "code": "1"}}), _model()),
    "`codeExecutionResult`": (_model({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}), _model()),
    "`toolCall`": (_model({"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "t", "args": {}}}), _model()),
    "`toolResponse`": (_model({"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "id": "t"}}), _model()),
}
_NULLABLE = {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}}
_FUNCTIONS: dict[str, Sample] = {
    "`functionDeclarations`, `parametersJsonSchema`": ({"tools": [_TOOL]}, {}),
    "`parameters`": ({"tools": [{"functionDeclarations": [{"name": "f", "parameters": _NULLABLE}]}]}, {}),
    "`response`, `responseJsonSchema`": _function(response={"type": "OBJECT"}),
    "`behavior`": _function(behavior="NON_BLOCKING"),
    "`mode: AUTO`, `mode: VALIDATED`": _calling(mode="VALIDATED"),
    "`mode: ANY`": _calling(mode="ANY"),
    "`mode: NONE`": _calling(mode="NONE"),
    "`allowedFunctionNames`": _calling(mode="ANY", allowedFunctionNames=["f"]),
    "`streamFunctionCallArguments`": (
        _calling(mode="ANY", streamFunctionCallArguments=True)[0],
        _calling(mode="ANY")[0],
    ),
    "`toolConfig.retrievalConfig`": (
        {"tools": [_TOOL], "toolConfig": {"retrievalConfig": {"languageCode": "de"}}},
        {"tools": [_TOOL]},
    ),
    "`toolConfig.includeServerSideToolInvocations`": (
        {"tools": [_TOOL], "toolConfig": {"includeServerSideToolInvocations": True}},
        {"tools": [_TOOL]},
    ),
    "`functionCall`, `functionResponse`": (_answered(), {"tools": [_TOOL]}),
    "`functionResponse.parts`": (_answered(parts=[_PNG]), _answered()),
    "`functionResponse.willContinue`, `scheduling`": (_answered(willContinue=True), _answered()),
    "`thoughtSignature` of a call": (_answered({"thoughtSignature": "cw=="}), _answered()),
}
_HOSTED: dict[str, Sample] = {
    f"`{name}`": ({"tools": [{name: {}}]}, {})
    for name in (
        "googleSearch",
        "googleSearchRetrieval",
        "enterpriseWebSearch",
        "parallelAiSearch",
        "exaAiSearch",
        "googleMaps",
        "urlContext",
        "codeExecution",
        "computerUse",
        "fileSearch",
        "retrieval",
        "mcpServers",
    )
}

SAMPLES: Samples = {
    "The answer": _ANSWER,
    "Thinking": _THINKING,
    "Conditions": _CONDITIONS,
    "What the user says": _USER,
    "What the model said": _SAID,
    "Functions": _FUNCTIONS,
    "Tools that the provider runs": _HOSTED,
}
