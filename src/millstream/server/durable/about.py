"""What is known of a stream besides its bytes, and what follows from it for who wants to append. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from millstream.server.durable.asking import Append, Create, Producer, Refused, kind, offset_of

_MOST_PRODUCERS = 1000
"""Of one stream. The one that was known first is forgotten then."""


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``id`` tells two streams apart that had the same name one after the other. What is there while ``ready`` is false
    is not all that its maker wanted at the beginning."""

    id: str
    content_type: str
    ttl: int | None = None
    expires_at: str | None = None
    made_closed: bool = False
    source: str | None = None
    fork_at: int | None = None
    fork_part: int = 0
    ready: bool = True
    seq: str | None = None
    producers: dict[str, tuple[int, int]] = {}
    """The last epoch and number of each."""
    closing: str = ""
    """Of whoever closed it."""

    def is_as(self, ask: Create) -> bool:
        """Would ``ask`` have made it? What a fork does not say it has from its source."""
        fork = ask.fork
        mine = (self.source, self.fork_at, self.fork_part)
        theirs = (None, None, 0) if fork is None else (fork.source, fork.at, fork.part)
        if mine != theirs or self.made_closed != ask.closed:
            return False
        same_type = kind(self.content_type) == kind(ask.content_type or "application/octet-stream")
        if fork is None:
            return same_type and (self.ttl, self.expires_at) == (ask.ttl, ask.expires_at)
        same_end = (ask.ttl, ask.expires_at) in ((None, None), (self.ttl, self.expires_at))
        return same_end and (same_type or ask.content_type is None)


@dataclass(frozen=True, slots=True)
class Accepted:
    """``about`` is what the stream is to be known by from now on; None: nothing changes."""

    about: About | None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """It was done before. ``seq`` is the last number that its producer got through."""

    seq: int | None


def judge(about: About, ask: Append, last: int, *, closed: bool, closing: str) -> Accepted | Duplicate:
    """What becomes of ``ask``, for a stream whose last entry is number ``last``. ``closing`` is a name for the closing
    that it may be. Raises ``Refused``."""
    known = about.producers.get(ask.producer.id) if ask.producer is not None else None
    if closed:
        return _judge_closed(about, ask, known, last)
    if ask.body and kind(ask.content_type or "") != kind(about.content_type):
        raise Refused(409, f"the stream is of {about.content_type}")
    if ask.producer is not None and known is not None and _was_done(ask.producer, known):
        return Duplicate(known[1])
    if ask.producer is not None:
        _in_turn(ask.producer, known)
    if ask.seq is not None and about.seq is not None and ask.seq.encode() <= about.seq.encode():
        raise Refused(409, f"Stream-Seq: {about.seq!r} has been here already")
    if ask.producer is None and ask.seq is None and not ask.close:
        return Accepted(None)
    return Accepted(_after(about, ask, closing))


def _judge_closed(about: About, ask: Append, known: tuple[int, int] | None, last: int) -> Duplicate:
    producer = ask.producer
    if producer is None:
        if not ask.body:
            return Duplicate(None)
    elif known is not None and (_was_done(producer, known)):
        return Duplicate(known[1])
    raise Refused(409, "the stream is closed", {"stream-closed": "true", "stream-next-offset": offset_of(last)})


def _was_done(producer: Producer, known: tuple[int, int]) -> bool:
    epoch, seq = known
    if producer.epoch < epoch:
        raise Refused(403, f"another {producer.id} has begun since", {"producer-epoch": str(epoch)})
    return producer.epoch == epoch and producer.seq <= seq


def _in_turn(producer: Producer, known: tuple[int, int] | None) -> None:
    if known is not None and producer.epoch > known[0] and producer.seq != 0:
        raise Refused(400, "Producer-Seq: a new epoch begins with 0")
    expected = known[1] + 1 if known is not None and known[0] == producer.epoch else 0
    if producer.seq != expected:
        counts = {"producer-expected-seq": str(expected), "producer-received-seq": str(producer.seq)}
        raise Refused(409, f"Producer-Seq: {expected} is missing", counts)


def _after(about: About, ask: Append, closing: str) -> About:
    producers = about.producers
    if ask.producer is not None:
        producers = dict(producers)
        producers[ask.producer.id] = (ask.producer.epoch, ask.producer.seq)
        if len(producers) > _MOST_PRODUCERS:
            del producers[next(iter(producers))]
    about = msgspec.structs.replace(about, producers=producers, seq=about.seq if ask.seq is None else ask.seq)
    return msgspec.structs.replace(about, closing=closing) if ask.close else about
