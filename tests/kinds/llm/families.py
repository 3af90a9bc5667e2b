"""How each family of servers says the same: chat, responses, completions, messages."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
_PATHS = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/completions": "completions",
    "/messages": "anthropic",
}


@dataclass
class Said:
    """What the model says, before a family puts it into its own words. tokens: in, out."""

    text: str | None
    finish: str = "stop"
    refusal: str | None = None
    parts: bool = False
    two: bool = False
    tokens: tuple[int, int] = (1, 2)
    cached: int = 0
    reasoning: int = 0
    counts: Any = True
    call: Json = field(default_factory=dict)


def api_of(path: str) -> str:
    """The API that a path belongs to."""
    bare = path.partition("?")[0]
    return next(api for end, api in _PATHS.items() if bare.endswith(end))


def question(api: str, body: Json) -> str:
    """The text of the last message that is one."""
    if api == "completions":
        return str(body["prompt"])
    for message in reversed(body["input" if api == "responses" else "messages"]):
        content = message.get("content")
        if message.get("role") == "user" and isinstance(content, str):
            return content
    raise ValueError("nobody asked anything")


def said_of(kind: str, argument: str, answer: str, headers: dict[str, str]) -> Said:
    """What a fault makes the model say."""
    sent = headers.get("authorization", "").replace("Bearer", "bearer")
    if kind == "say":
        return Said(argument)
    if kind == "refusal":
        return Said(None, refusal="I would rather not.")
    if kind in ("empty", "null"):
        return Said("" if kind == "empty" else None)
    if kind == "filter":
        return Said("", finish="content_filter")
    if kind == "quote_key":
        return Said(f"you sent {sent}")
    if kind == "quote_form":
        key = sent.removeprefix("bearer ")
        forms = {"reversed": key[::-1], "hex": key.encode().hex(), "part": key[1:9]}
        return Said(f"<{forms[argument]}>")
    if kind == "quote_coded":
        coded = base64.b64encode(f"{argument}{sent}".encode()).decode()
        return Said(f"{sent[7:23]}... ({coded})")
    if kind == "cut":
        return Said("", finish="length", tokens=(1, 16), reasoning=16)
    if kind == "counted":
        cached, reasoning = (int(number) for number in argument.split(","))
        return Said(answer, tokens=(1, reasoning + 2), cached=cached, reasoning=reasoning)
    if kind == "finish_error":
        return Said("", finish="error")
    if kind == "call":
        name, _, arguments = argument.partition(":")
        return Said(None, finish="tool_calls", call={"name": name, "arguments": arguments})
    counts: Any = {"uncounted": None, "counted_in_words": "a few"}.get(kind, True)
    return Said(answer, parts=kind == "in_parts", two=kind == "two", counts=counts)


def reply_of(api: str, name: str, said: Said) -> Json:
    """A whole answer."""
    if api == "responses":
        return _response(name, said)
    if api == "anthropic":
        return _message(name, said)
    choice: Json = {"index": 0, "finish_reason": said.finish}
    if api == "chat":
        choice["message"] = _chat_message(said)
    else:
        choice["text"] = said.text
    reply: Json = {
        "id": name,
        "object": "chat.completion" if api == "chat" else "text_completion",
        "model": "faulty-1",
        "choices": [choice, {**choice, "index": 1}] if said.two else [choice],
    }
    if said.counts:
        reply["usage"] = _chat_usage(said)
    return reply


def _chat_message(said: Said) -> Json:
    text = said.text or ""
    content: Any = [{"type": "text", "text": text[:3]}, {"text": text[3:]}]
    message = {"role": "assistant", "content": content if said.parts else said.text}
    if said.refusal:
        message["refusal"] = said.refusal
    if said.call:
        message["tool_calls"] = [{"id": "call-1", "type": "function", "function": said.call}]
    return message


def _chat_usage(said: Said) -> Json:
    if said.counts is not True:
        return {"prompt_tokens": said.counts}
    usage: Json = {
        "prompt_tokens": said.tokens[0],
        "completion_tokens": said.tokens[1],
        "total_tokens": sum(said.tokens),
    }
    if said.cached:
        usage["prompt_tokens_details"] = {"cached_tokens": said.cached}
    if said.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": said.reasoning}
    return usage


def _response(name: str, said: Said) -> Json:
    part: Json = {"type": "output_text", "text": said.text or ""}
    if said.refusal:
        part = {"type": "refusal", "refusal": said.refusal}
    output: list[Json] = [{"type": "reasoning", "id": "r-1", "summary": []}]
    if said.call:
        output.append({"type": "function_call", "call_id": "call-1", **said.call})
    elif said.finish != "length":
        output.append({"type": "message", "role": "assistant", "content": [part]})
    reply: Json = {"id": name, "object": "response", "model": "faulty-1", "output": output}
    reply["status"] = "incomplete" if said.finish == "length" else "completed"
    if said.finish == "length":
        reply["incomplete_details"] = {"reason": "max_output_tokens"}
    reply["usage"] = {
        "input_tokens": said.tokens[0],
        "output_tokens": said.tokens[1],
        "input_tokens_details": {"cached_tokens": said.cached},
        "output_tokens_details": {"reasoning_tokens": said.reasoning},
    }
    return reply


def _message(name: str, said: Said) -> Json:
    content: list[Json] = [{"type": "text", "text": said.text or ""}]
    if said.call:
        asked = {"name": said.call["name"], "input": json.loads(said.call["arguments"])}
        content = [{"type": "tool_use", "id": "call-1", **asked}]
    stops = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": "faulty-1",
        "content": content,
        "stop_reason": "refusal" if said.refusal else stops.get(said.finish, said.finish),
        "usage": {
            "input_tokens": said.tokens[0] - said.cached,
            "cache_read_input_tokens": said.cached,
            "output_tokens": said.tokens[1],
        },
    }


def stream_of(api: str, name: str, said: Said, kind: str) -> list[str]:
    """The same, event by event; the words in two parts."""
    text = said.text or ""
    parts = [text[: len(text) // 2], text[len(text) // 2 :]]
    if api == "responses":
        whole = _response(name, said)
        said_so: list[Json] = [
            {"type": "response.output_text.delta", "delta": part} for part in parts
        ]
        end = f"response.{whole['status']}"
        return [_event(each) for each in [*said_so, {"type": end, "response": whole}]]
    if api == "anthropic":
        return [_event(each) for each in _message_events(_message(name, said), parts)]
    reply = reply_of(api, name, said)
    start: Json = {name: value for name, value in reply.items() if name != "usage"}
    events: list[Json] = []
    for part in parts:
        delta = {"delta": {"content": part}} if api == "chat" else {"text": part}
        events.append(start | {"choices": [{"index": 0, **delta}]})
    if said.call:
        piece = {"index": 0, "id": "call-1", "function": {"name": said.call["name"]}}
        rest = {"index": 0, "function": {"arguments": said.call["arguments"]}}
        events = [
            start | {"choices": [{"index": 0, "delta": {"tool_calls": [each]}}]}
            for each in (piece, rest)
        ]
    last: Json = start | {"choices": [{"index": 0, "delta": {}, "finish_reason": said.finish}]}
    if "usage" in reply:
        last["usage"] = reply["usage"]
    if kind == "broken_off":
        last = {"error": {"message": "out of memory"}}
    done = [] if kind == "no_done" else ["data: [DONE]\n\n"]
    return [_event(each) for each in [*events, last]] + done


def _message_events(whole: Json, parts: list[str]) -> list[Json]:
    block = whole["content"][0]
    if block["type"] == "tool_use":
        pieces = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        begun = {**block, "input": {}}
    else:
        pieces = [{"type": "text_delta", "text": part} for part in parts]
        begun = {"type": "text", "text": ""}
    usage = whole["usage"]
    started = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    return [
        {"type": "message_start", "message": started},
        {"type": "content_block_start", "index": 0, "content_block": begun},
        *({"type": "content_block_delta", "index": 0, "delta": piece} for piece in pieces),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": whole["stop_reason"]},
            "usage": {"output_tokens": usage["output_tokens"]},
        },
        {"type": "message_stop"},
    ]


def _event(value: Json) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def refusal_of(status: int, argument: str, fault: str, headers: dict[str, str]) -> tuple[str, str]:
    """Headers and body of an error. `argument` is a code, seconds, or "Header=value;…".

    A wait in Google's words is written gemini=34s.
    """
    error: Json = {"message": f"fault {fault}", "code": argument.partition(" ")[0] or None}
    if status == 401:
        error["message"] = (
            f"no such key: {headers.get('authorization', '').lower()[:7]}"
            + (headers.get("authorization", "")[7:])
        )
    if status in (301, 307):
        return f"Location: {argument}\r\n", "{}"
    lines = ""
    if "=" in argument:
        error["code"] = None
        for pair in argument.split(";"):
            name, _, value = pair.partition("=")
            if name == "gemini":
                info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": value}
                error = {"code": status, "message": "exhausted", "details": [info]}
                return lines, json.dumps([{"error": error}])
            lines += f"{name}: {value}\r\n"
    elif status in (429, 503, 529) and argument:
        lines = f"Retry-After: {argument}\r\n"
    return lines, json.dumps({"error": error})
