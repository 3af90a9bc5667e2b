"""Several calls that make one datapoint: turns, tools, images.

Every call is kept in the column `calls`, whole: what was sent, what came, tokens, cost, latency.
Where a call fails, the next attempt of the datapoint is given the answers that are there already,
so that no turn is paid for twice; what a conversation cost that never came to its end is in its
failed row.
"""

import base64
import json
import mimetypes
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from benchmark.llm.answer import Usage
from benchmark.llm.client import Answer, Client
from benchmark.llm.request import Json, Request, body_of
from harness.run.attempt import attempt_number

Tool = Callable[..., Any]


# The answers of the datapoint in this thread, each with the body that asked for it.
_kept: ContextVar[tuple[tuple[Json, Answer], ...]] = ContextVar("kept", default=())


class Conversation:
    """One datapoint's messages, in the words of the API, and the answers so far.

    Begin it at the top of predict, once: whether calls may be given again is decided here.
    """

    def __init__(
        self, client: Client, request: Request, system: str | None = None, repeat: int = 0
    ) -> None:
        self.client = client
        self.request = request
        self.repeat = repeat
        self.messages: list[Json] = []
        self.answers: list[Answer] = []
        if attempt_number.get() <= 1:
            _kept.set(())
        self._known = _kept.get()
        if system is not None:
            self.messages.append({"role": "system", "content": system})

    def say(self, text: str, *images: Path) -> Answer:
        """Say something as the user, with images; returns what the model answers."""
        self.messages.append({"role": "user", "content": _content(self.request.api, text, images)})
        return self.ask()

    def ask(self) -> Answer:
        """Send the messages as they are; the answer becomes the last of them.

        Raises what `Client.ask` raises, with the columns of all calls so far.
        """
        body = body_of(self.request, self.messages, self.repeat)
        number = len(self.answers)
        if number < len(self._known) and self._known[number][0] == body:
            answer = self._known[number][1]
        else:
            self._known = self._known[:number]
            try:
                answer = self.client.ask(self.request, self.messages, self.repeat)
            except Exception as error:
                error.columns = self.columns()  # type: ignore[attr-defined]
                raise
        # What is compared with a later attempt is what was sent, not what became of the messages.
        sent = json.loads(json.dumps(body))
        self._known = (*self._known[:number], (sent, answer), *self._known[number + 1 :])
        _kept.set(self._known)
        self.answers.append(answer)
        self.messages += answer.said.turn
        return answer

    def use_tools(self, tools: dict[str, Tool], most: int = 8) -> Answer:
        """Run the tools that the last answer calls, and go on until one calls none.

        A tool that raises, or is not there, is answered with its error, as a model may correct
        itself. After `most` rounds the last answer is returned as it is.
        """
        answer = self.answers[-1]
        for _ in range(most):
            calls = calls_in(self.request.api, answer)
            if not calls:
                return answer
            results = [(each, _run(tools, each)) for each in calls]
            self.messages += _results(self.request.api, results)
            answer = self.ask()
        return answer

    @property
    def text(self) -> str:
        """What a person reads: who said what, turn by turn."""
        lines = [f"{m['role']}: {_words(m)}" for m in self.messages if m.get("role") and _words(m)]
        return "\n\n".join(lines)

    def columns(self) -> dict[str, Any]:
        """All calls as one row: sums of tokens, cost and latency, and each call in `calls`."""
        if not self.answers:
            return {}
        last = self.answers[-1].columns()
        usages = [answer.said.usage for answer in self.answers]
        total = Usage(*(_sum(getattr(u, n) for u in usages) for n in _COUNTS))
        row = last | {
            "prompt_tokens": total.prompt,
            "cached_tokens": total.cached,
            "completion_tokens": total.completion,
            "reasoning_tokens": total.reasoning,
            "total_tokens": total.total,
            "cost": _sum(answer.cost for answer in self.answers),
            "latency": sum(answer.latency for answer in self.answers),
            "time_to_first_token": self.answers[0].time_to_first_token,
            "rate_limited": sum(answer.refusals for answer in self.answers),
            "turns": len(self.answers),
            "transcript": self.text,
            "calls": json.dumps([answer.columns() for answer in self.answers], ensure_ascii=False),
        }
        return row


_COUNTS = ("prompt", "completion", "cached", "reasoning")


def _sum(values: Any) -> Any:
    """The sum, or None where one of them is not known."""
    known = list(values)
    return None if any(value is None for value in known) else sum(known)


def calls_in(api: str, answer: Answer) -> list[Json]:
    """The tools that an answer calls: id, name and arguments, parsed."""
    found = []
    for part in answer.said.turn:
        if api == "responses" and part.get("type") == "function_call":
            found.append((part.get("call_id"), part.get("name"), part.get("arguments")))
        for call in part.get("tool_calls") or ():
            said = call.get("function") or {}
            found.append((call.get("id"), said.get("name"), said.get("arguments")))
        content = part.get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and block.get("type") == "tool_use":
                found.append((block.get("id"), block.get("name"), block.get("input")))
    return [{"id": i, "name": n, "arguments": _parsed(a)} for i, n, a in found]


def _parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments or {}
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def _run(tools: dict[str, Tool], call: Json) -> str:
    tool, arguments = tools.get(str(call["name"])), call["arguments"]
    if tool is None:
        return f"error: there is no tool {call['name']}"
    if not isinstance(arguments, dict):
        return f"error: the arguments are no JSON object: {arguments}"
    try:
        found = tool(**arguments)
    except Exception as error:  # what the model asked for may be wrong; it is told so
        return f"error: {type(error).__name__}: {error}"
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _results(api: str, results: list[tuple[Json, str]]) -> list[Json]:
    """What the tools gave, as messages of the API."""
    if api == "responses":
        return [
            {"type": "function_call_output", "call_id": call["id"], "output": text}
            for call, text in results
        ]
    if api == "anthropic":
        blocks = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": text}
            for call, text in results
        ]
        return [{"role": "user", "content": blocks}]
    return [{"role": "tool", "tool_call_id": call["id"], "content": text} for call, text in results]


def _content(api: str, text: str, images: tuple[Path, ...]) -> Any:
    """The words of a message, with its images as the API takes them."""
    if not images:
        return text
    parts: list[Json] = [_image(api, path) for path in images]
    return [*parts, {"type": "input_text" if api == "responses" else "text", "text": text}]


def _image(api: str, path: Path) -> Json:
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    data = base64.b64encode(path.read_bytes()).decode()
    if api == "anthropic":
        source = {"type": "base64", "media_type": kind, "data": data}
        return {"type": "image", "source": source}
    url = f"data:{kind};base64,{data}"
    if api == "responses":
        return {"type": "input_image", "image_url": url}
    return {"type": "image_url", "image_url": {"url": url}}


def _words(message: Json) -> str:
    """What a message says, its images and calls of tools in brackets."""
    content = message.get("content")
    said = []
    if isinstance(content, str):
        said.append(content)
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        kind = str(part.get("type"))
        shown = f"[calls {part.get('name')}]" if kind == "tool_use" else ""
        shown = "[image]" if "image" in kind else shown
        said.append(str(part.get("text") or part.get("content") or shown))
    for call in message.get("tool_calls") or ():
        said.append(f"[calls {(call.get('function') or {}).get('name')}]")
    return "\n".join(each for each in said if each)
