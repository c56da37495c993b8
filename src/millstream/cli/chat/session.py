"""A conversation: questions in, answers shown and remembered, and the commands that begin with a slash."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

from millstream.cli.chat.call import Call, interrupting
from millstream.cli.chat.clean import clean_line
from millstream.cli.chat.meter import Meter
from millstream.cli.chat.prompt import Prompt
from millstream.cli.chat.showing import Showing
from millstream.cli.chat.view import View
from millstream.cli.chat.wires import Wire
from millstream.cli.known import Known
from millstream.core.errors import ClientFault, Kind
from millstream.core.events import Fault
from millstream.core.messages import Message, Request, TextPart

DIALECT = "openai_chat"
"""What is spoken with the gateway: an API that asks for nothing but messages, and tells thinking from text."""

Outcome = Literal["finished", "stopped", "failed"]

COMMANDS = {
    "/model": "/model [NAME]   the model in use, or another from here on",
    "/system": "/system [TEXT]  instructions for the model; without text, none",
    "/clear": "/clear          begin a new conversation",
    "/help": "/help           this",
    "/exit": "/exit           leave (also Ctrl-D)",
}
_KEYS = "Ctrl-C stops an answer and keeps what came of it. Alt-Enter begins a new line. Tab completes commands."


@dataclass
class Conversation:
    """``wire`` is how the gateway is asked. ``view`` makes the place for one answer, ``tell`` shows a line of our own.
    ``quiet`` is held while an answer is shown: nothing typed may appear in it."""

    url: str
    names: Known
    wire: Callable[[Request], Wire]
    model: str
    view: Callable[[], View]
    tell: Callable[[str], None]
    system: str | None = None
    quiet: Callable[[], AbstractContextManager[object]] = nullcontext
    _turns: list[Message] = field(default_factory=list)

    def lead(self, prompt: Prompt) -> None:
        """Until the user leaves."""
        while True:
            try:
                line = prompt.ask()
            except KeyboardInterrupt:
                self.tell("(Ctrl-D leaves)")
                continue
            if line is None:
                return
            if not line.strip():
                continue
            if line.startswith("/"):
                if not self._command(line.strip()):
                    return
                continue
            self.ask(line)

    def ask(self, question: str) -> Outcome:
        """Shows the answer to ``question`` and remembers both; of a question that got none, nothing is kept."""
        self._turns.append(Message("user", (TextPart(question),), plain=True))
        call = Call(self.url, self.names.server_key, self.wire(self._request()))
        view = self.view()
        showing, meter = Showing(view), Meter(time.monotonic())
        with self.quiet(), interrupting(call):
            try:
                self._show(call, view, showing, meter)
            finally:
                self._end(call, view, showing, meter)
        if showing.text:
            self._turns.append(Message("assistant", (TextPart(showing.text),), plain=True))
        else:
            self._turns.pop()
        if call.stopped:
            return "stopped"
        return "failed" if showing.fault is not None else "finished"

    def _show(self, call: Call, view: View, showing: Showing, meter: Meter) -> None:
        for at, events in call:
            if events:
                showing.take(events)
                for event in events:
                    meter.take(at, event)
            elif meter.first is None:
                view.waiting(at - meter.began)
            view.refresh()

    def _end(self, call: Call, view: View, showing: Showing, meter: Meter) -> None:
        if call.stopped:
            view.note("(stopped)", "yellow")
        elif showing.fault is not None:
            view.fail(explained(showing.fault, self._route(call)[0]))
        elif showing.finished and meter.first is None:
            view.note("(the model said nothing)")
        view.end(meter.facts(self.names.providers.get(self._route(call)[0]), self._route(call)[1]))

    def _route(self, call: Call) -> tuple[str, str]:
        """Provider and model that answer: as the gateway says, or as it would."""
        provider, _, model = (call.model or self.names.routes.resolve(self.model).name).partition("/")
        return provider, model

    def _request(self) -> Request:
        system = (TextPart(self.system),) if self.system else ()
        return Request(
            origin=DIALECT,
            model=self.model,
            messages=tuple(self._turns),
            system=system,
            system_plain=True,
            stream=True,
            include_usage=True,
        )

    def _command(self, line: str) -> bool:
        """Does what ``line`` says. False: leave."""
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        match name:
            case "/exit" | "/quit":
                return False
            case "/help":
                self.tell("\n".join([*COMMANDS.values(), _KEYS]))
            case "/clear":
                self._turns.clear()
                self.tell("(a new conversation)")
            case "/model":
                self._choose(rest)
            case "/system":
                self.system = rest or None
                self.tell(f"instructions: {clean_line(rest)}" if rest else "(no instructions)")
            case _:
                near = difflib.get_close_matches(name, COMMANDS, n=1)
                self.tell(f"there is no {clean_line(name)}; {f'did you mean {near[0]}?' if near else '/help lists'}")
        return True

    def _choose(self, name: str) -> None:
        if not name:
            others = ", ".join(usable_models(self.names))
            self.tell(f"model {self.model}\nothers: {others}")
            return
        try:
            check_model(self.names, name)
        except ClientFault as error:
            self.tell(str(error))
            return
        self.model = name
        self.tell(f"model {self.names.routes.resolve(name).name}")


def completions(names: Known, before: str) -> Sequence[str]:
    """What ``before``, which begins with a slash, may become."""
    models = before.startswith("/model ")
    offered = [f"/model {name}" for name in usable_models(names)] if models else list(COMMANDS)
    return [found for found in offered if found.startswith(before)]


def usable_models(names: Known) -> list[str]:
    """Names that have what they need."""
    routes = names.routes
    return [name for name in routes.names() if names.providers[routes.resolve(name).provider].usable]


def check_model(names: Known, model: str) -> None:
    """Raises ``ClientFault`` for a name that is not here, or whose provider lacks its key."""
    provider = names.providers[names.routes.resolve(model).provider]
    if not provider.usable:
        lacks = provider.lacks or provider.key_env
        what = f"set {lacks}" if lacks else "see `millstream models`"
        raise ClientFault(f"{provider.name} has no key: {what}, or choose another model", Kind.AUTHENTICATION)


def explained(fault: Fault, provider: str) -> str:
    """A fault in plain words, and what may be done about it."""
    message = clean_line(fault.message)
    match fault.kind:
        case Kind.AUTHENTICATION | Kind.PERMISSION:
            help_ = f"Is the key of {provider} right? `millstream models` says where it is looked for."
        case Kind.UNREACHABLE:
            help_ = "Is it running, and can it be reached from here?"
        case Kind.RATE_LIMIT | Kind.OVERLOADED:
            wait = f" in {fault.retry_after:g} s" if fault.retry_after else " later"
            help_ = f"Try again{wait}."
        case Kind.CONTEXT_LENGTH:
            help_ = "/clear begins a new conversation."
        case _:
            help_ = ""
    return f"{message.rstrip('.')}. {help_}".strip()
