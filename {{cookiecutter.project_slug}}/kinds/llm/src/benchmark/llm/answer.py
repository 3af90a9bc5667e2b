"""What came back, in each API's words, as one Answer."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
# Ollama and vLLM may leave what a model thought in front of what it says. Where the prompt ends
# with <think>, the answer has the end of it alone; where the longest answer cut it, the begin.
_THOUGHT = re.compile(r"\s*(?:<think>)?(.*?)(?:</think>\s*|\Z)", re.DOTALL)
_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"})


class NoAnswer(ValueError):
    """What came is no answer. `error` is what the server said instead, {} for nothing."""

    def __init__(self, words: str, error: Json | None = None) -> None:
        super().__init__(words)
        self.error = error or {}


class TwoAnswers(ValueError):
    """The server was asked for several answers at once."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; `prompt` holds `cached`, `completion` holds `reasoning`.

    None where it did not count.
    """

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    reasoning: int | None = None

    @property
    def total(self) -> int | None:
        """Both together."""
        if self.prompt is None or self.completion is None:
            return None
        return self.prompt + self.completion


@dataclass(slots=True)
class Said:
    """The content of an answer. `turn` is what goes into the messages of the next call."""

    text: str
    finish_reason: str | None
    refusal: str | None
    model: str | None
    usage: Usage
    reasoning: str | None = None
    turn: list[Json] = field(default_factory=list)

    @property
    def cut(self) -> bool:
        """Whether the longest answer was reached."""
        return self.finish_reason in _CUT

    @property
    def is_nothing(self) -> bool:
        """Whether the longest answer was reached before a word was said: reasoning took it all."""
        return self.cut and not self.text.strip() and not self.turn_has_calls

    @property
    def turn_has_calls(self) -> bool:
        """Whether the model calls a tool."""
        return any(
            part.get("tool_calls")
            or part.get("type") == "function_call"
            or any(isinstance(c, dict) and c.get("type") == "tool_use" for c in _list(part))
            for part in self.turn
        )


def _list(part: Json) -> list[Any]:
    content = part.get("content")
    return content if isinstance(content, list) else []


def read(api: str, events: list[Json]) -> Said:
    """The content of an answer: one event, or those of a stream in their order.

    Raises NoAnswer where there is none or the server says that it failed, TwoAnswers for several.
    """
    for event in events:
        if broken := _failure(event):
            raise NoAnswer(f"the server broke off: {broken.get('message') or broken}", broken)
    return _READERS[api](events)


def is_complete(api: str, events: list[Json]) -> bool:
    """Whether a stream that ended without a word about it had come to its end."""
    if api == "responses":
        return any(str(e.get("type")) in _LAST for e in events)
    if api == "anthropic":
        return any(e.get("type") == "message_stop" for e in events)
    return any(choice.get("finish_reason") for e in events for choice in e.get("choices") or ())


def words_of(api: str, event: Json) -> str:
    """What an event of a stream says."""
    if api == "responses":
        return str(event.get("delta", "")) if event.get("type") == _DELTA else ""
    if api == "anthropic":
        return str((event.get("delta") or {}).get("text") or "")
    parts = [_part(choice) for choice in event.get("choices") or ()]
    return "".join(_text(part) for part in parts)


_DELTA = "response.output_text.delta"
_LAST = ("response.completed", "response.incomplete", "response.failed")


def _failure(event: Json) -> Json:
    """The error inside an event, {} for none."""
    error = event.get("error")
    if not error and event.get("type") == "error":
        error = event
    if not error:
        inside = event.get("response")
        error = inside.get("error") if isinstance(inside, dict) else None
    for choice in event.get("choices") or ():
        if not error and choice.get("finish_reason") == "error":
            error = choice.get("error") or {"message": 'finish_reason is "error"'}
    if error and not isinstance(error, dict):
        error = {"message": str(error)}
    return error or {}


def _part(choice: Json) -> Json:
    part: Json = choice.get("delta") or choice.get("message") or choice
    return part


def _text(part: Json) -> str:
    said = part.get("content") or part.get("text") or ""
    return said if isinstance(said, str) else "".join(each.get("text") or "" for each in said)


def _chat(events: list[Json]) -> Said:
    choices = [choice for event in events for choice in event.get("choices") or ()]
    if not choices:
        raise NoAnswer("no choices")
    if len({choice.get("index") or 0 for choice in choices}) > 1:
        raise TwoAnswers("the server gave several answers to one question")
    parts = [_part(choice) for choice in choices]
    text = "".join(_text(part) for part in parts)
    thought = "".join(p.get("reasoning_content") or p.get("reasoning") or "" for p in parts)
    aloud = text.lstrip().startswith("<think>") or "</think>" in text
    if not thought and aloud and (found := _THOUGHT.match(text)):
        thought, text = found[1].strip(), text[found.end() :]
    calls = _calls(parts)
    refusal = "".join(part.get("refusal") or "" for part in parts) or None
    turn: Json = {"role": "assistant", "content": text or None}
    if calls:
        turn["tool_calls"] = calls
    usage: Json = next((event["usage"] for event in reversed(events) if event.get("usage")), {})
    return Said(
        text,
        next((c["finish_reason"] for c in choices if c.get("finish_reason")), None),
        refusal,
        events[0].get("model"),
        Usage(
            _count(usage, "prompt_tokens"),
            _count(usage, "completion_tokens"),
            _count(usage.get("prompt_tokens_details"), "cached_tokens"),
            _count(usage.get("completion_tokens_details"), "reasoning_tokens"),
        ),
        thought or None,
        [turn],
    )


def _calls(parts: list[Json]) -> list[Json]:
    """The tools that are called; in a stream their arguments come in pieces."""
    calls: dict[int, Json] = {}
    for part in parts:
        for index, piece in enumerate(part.get("tool_calls") or ()):
            said = piece.get("function") or {}
            call = calls.setdefault(
                piece.get("index", index), {"id": "", "type": "function", "function": {}}
            )
            call["id"] = call["id"] or piece.get("id") or ""
            function = call["function"]
            function["name"] = function.get("name") or said.get("name") or ""
            function["arguments"] = function.get("arguments", "") + (said.get("arguments") or "")
    return [calls[index] for index in sorted(calls)]


def _responses(events: list[Json]) -> Said:
    last = [e["response"] for e in events if str(e.get("type")) in _LAST]
    whole = last[-1] if last else events[-1]
    output = whole.get("output")
    if output is None:
        raise NoAnswer("no output")
    messages = [item for item in output if item.get("content")]
    # What a model says on its way to the answer is none, but where it says nothing else.
    final = [item for item in messages if item.get("phase") != "commentary"] or messages
    contents = [part for item in final for part in item["content"]]
    thoughts = [part for item in output for part in item.get("summary") or ()]
    usage = whole.get("usage")
    reason = (whole.get("incomplete_details") or {}).get("reason")
    return Said(
        "".join(c.get("text") or "" for c in contents if c.get("type") == "output_text"),
        reason or whole.get("status"),
        "".join(c.get("refusal") or "" for c in contents if c.get("type") == "refusal") or None,
        whole.get("model"),
        Usage(
            _count(usage, "input_tokens"),
            _count(usage, "output_tokens"),
            _count((usage or {}).get("input_tokens_details"), "cached_tokens"),
            _count((usage or {}).get("output_tokens_details"), "reasoning_tokens"),
        ),
        "".join(t.get("text") or "" for t in thoughts) or None,
        # Thoughts that the server keeps by their id alone cannot be sent back to it.
        [item for item in output if item.get("type") != "reasoning" or "encrypted_content" in item],
    )


def _anthropic(events: list[Json]) -> Said:
    whole = events[0] if events[0].get("type") == "message" else _put_together(events)
    content = whole.get("content")
    if content is None:
        raise NoAnswer("no content")
    text = "".join(c.get("text") or "" for c in content if c.get("type") == "text")
    thought = "".join(c.get("thinking") or "" for c in content if c.get("type") == "thinking")
    usage = whole.get("usage") or {}
    reason = whole.get("stop_reason")
    # What was read from the cache, or written to it, is not in input_tokens.
    asked = [usage.get(name) or 0 for name in _ASKED if isinstance(usage.get(name), int)]
    return Said(
        text,
        reason,
        (text or "refusal") if reason == "refusal" else None,
        whole.get("model"),
        Usage(
            sum(asked) if asked else None,
            _count(usage, "output_tokens"),
            _count(usage, "cache_read_input_tokens"),
        ),
        thought or None,
        [{"role": "assistant", "content": content}],
    )


_ASKED = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def _put_together(events: list[Json]) -> Json:
    """The message that a stream of the Messages API describes."""
    started = [e["message"] for e in events if e.get("type") == "message_start"]
    if not started:
        raise NoAnswer("no message")
    whole: Json = {**started[0], "content": []}
    for event in events:
        delta = event.get("delta") or {}
        if event.get("type") == "content_block_start":
            whole["content"].append({**event["content_block"], "index": event.get("index")})
        elif event.get("type") == "content_block_delta":
            block = next(b for b in whole["content"] if b["index"] == event.get("index"))
            for name, piece in delta.items():
                if name != "type" and isinstance(piece, str):
                    block[name] = (block.get(name) or "") + piece
        elif event.get("type") == "message_delta":
            whole["stop_reason"] = delta.get("stop_reason")
            whole["usage"] = (whole.get("usage") or {}) | (event.get("usage") or {})
    for block in whole["content"]:
        del block["index"]
        if "partial_json" in block:
            block["input"] = json.loads(block.pop("partial_json") or "{}")
    return whole


def _count(counts: Any, name: str) -> int | None:
    number = counts.get(name) if isinstance(counts, dict) else None
    return number if isinstance(number, int) else None


_READERS: dict[str, Callable[[list[Json]], Said]] = {
    "chat": _chat,
    "completions": _chat,
    "responses": _responses,
    "anthropic": _anthropic,
}
