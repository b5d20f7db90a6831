"""A queue with a cursor: callbacks that fail, transactions of the node's own, files that cannot be written."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping

import pytest

from bus import frame
from bus.durable import cursor
from bus.durable.inbox import CursorInbox, pause_s
from bus.durable.segments import listed
from bus.executor import Executor
from bus.host import Spec
from bus.node import DeclarationError, LogLost, Synced, publisher, subscription
from bus.testing import Domain
from schemas.base import Message
from schemas.codec import EncodeError
from schemas.machine import ConditionLevel
from tests.bus.durable.live import TOPIC, booker, hears, log_folder, tell
from tests.bus.durable.toys import EVENTS, Batcher, Booker, Event, Reader, Teller
from tests.bus.live import counts, node, until
from tests.bus.toys.talk import SAID, Word

# --- callbacks that fail ----------------------------------------------------------------------------------------------


def test_a_callback_that_fails_is_called_again_and_the_rest_waits(domain: Domain) -> None:
    class Both(Reader):
        said: list[int]

        def on_configure(self) -> None:
            super().on_configure()
            self.said = []

        @subscription(SAID)
        def on_said(self, word: Word) -> None:
            self.said.append(word.number)

    class Says(Teller):
        words = publisher(SAID)

    with domain.running(Spec(Says, "teller")) as teller, domain.running(Spec(Both, "reader")) as reader:
        until(lambda: node(reader).told(Synced))
        node(reader).fails.add(3)
        tell(teller, 10)
        until(lambda: "durable_waits" in reader.hosts[0].findings)
        finding = reader.hosts[0].findings["durable_waits"]
        assert finding.level is ConditionLevel.FAULT
        assert "on_event: #3 of count/events from teller failed (ConnectionError: no connection at 3)" in finding.text
        teller.hosts[0].submit(node(teller).words.publish, Word(number=1, text=""))
        until(lambda: node(reader).said == [1])
        assert node(reader).heard == [1, 2]
        until(lambda: node(reader).tried == 4)
        node(reader).fails.clear()
        hears(reader, list(range(1, 11)))
        until(lambda: "durable_waits" not in reader.hosts[0].findings)
    with domain.running(Spec(Teller)), domain.running(Spec(Reader)) as reader:
        until(lambda: node(reader).told(Synced))
        assert node(reader).told(Synced)[0].source.seq == 11


def test_the_pause_grows_to_half_a_minute_and_stays_there_however_long_it_fails() -> None:
    assert [pause_s(n) for n in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert pause_s(1024) == pause_s(10**6) == 30  # after nine hours, and after a year


def test_two_subscriptions_that_wait_are_told_until_the_last_goes_on(domain: Domain) -> None:
    class Two(Reader):
        @subscription(EVENTS, namespace="other")
        def on_other(self, event: Event) -> None:
            self.note(Event(number=1000 + event.number))

    def failures(executor: Executor) -> list[int]:
        return [i._failures for i in executor.hosts[0].inboxes if isinstance(i, CursorInbox)]

    with (
        domain.running(Spec(Two, "reader")) as reader,
        domain.running(Spec(Teller)) as teller,
        domain.running(Spec(Teller, namespace="other")) as other,
    ):
        node(reader).fails.update({1, 1001})
        tell(teller, 1)
        tell(other, 1)
        until(lambda: all(failures(reader)))
        node(reader).fails.remove(1001)
        until(lambda: 0 in failures(reader))
        assert "on_event: #1 of count/events from teller" in reader.hosts[0].findings["durable_waits"].text
        node(reader).fails.clear()
        until(lambda: "durable_waits" not in reader.hosts[0].findings)


def test_what_fails_until_the_end_comes_again_at_the_next_start(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 10)
        with domain.running(Spec(Reader)) as reader:
            until(lambda: len(node(reader).heard) == 10)
            node(reader).fails.add(13)
            tell(teller, 10)
            until(lambda: "durable_waits" in reader.hosts[0].findings)
        with domain.running(Spec(Reader)) as reader:
            hears(reader, list(range(13, 21)))


def test_a_list_that_fails_comes_again_as_a_whole(domain: Domain) -> None:
    with domain.running(Spec(Teller, namespace="vmc1")) as teller, domain.running(Spec(Batcher)) as batcher:
        until(lambda: batcher.readers.status(batcher.hosts[0]))
        node(batcher).fails.add(5)
        tell(teller, 8)
        until(lambda: "durable_waits" in batcher.hosts[0].findings)
        node(batcher).fails.clear()
        until(lambda: node(batcher).batches)
        assert [n for batch in node(batcher).batches for n in batch] == list(range(1, 9))
        assert node(batcher).heard[-8:] == list(range(1, 9))


def test_what_cannot_be_read_is_counted_and_passed_over(domain: Domain) -> None:
    class Other(Message):
        number: int
        text: int = 0

    class Wrong(Teller):
        """Lies about its type, as a damaged message would."""

        def tell(self, count: int, size: int = 0) -> None:
            outlet = self.context.outlets[TOPIC]  # type: ignore[attr-defined] # to encode what is no Event
            from schemas.codec import codec

            good, outlet._codec = outlet._codec, codec(Other)
            self.context.publish(EVENTS, TOPIC, Other(number=0))
            outlet._codec = good
            super().tell(count, size)

    with domain.running(Spec(Wrong, "teller")) as teller:
        tell(teller, 5)
        with domain.running(Spec(Reader)) as reader:
            hears(reader, [1, 2, 3, 4, 5])
            assert counts(reader, TOPIC)["undecodable"] == 2
            assert node(reader).sources[-1].seq == 7


def test_an_event_too_long_to_travel_is_refused_and_stops_no_consumer(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller, domain.running(Spec(Reader)) as reader:
        tell(teller, 1)
        with pytest.raises(EncodeError, match="count/events: a message of 6"):
            tell(teller, 1, frame.PUBLISHED_MAX_BYTES)
        tell(teller, 1, frame.PUBLISHED_MAX_BYTES - 1000)
        tell(teller, 1)
        hears(reader, [1, 3, 4])


# --- in the node's own transaction ------------------------------------------------------------------------------------


def test_each_event_is_booked_once_though_the_answer_to_a_commit_is_lost(domain: Domain) -> None:
    class Unlucky(Booker):
        def on_event(self, event: Event) -> None:
            super().on_event(event)
            if event.number % 5 == 0 and event.number not in self.fails:
                self.fails.add(event.number)
                raise ConnectionError("committed, and the connection broke")

        on_event.__dict__.update(Booker.on_event.__dict__)

    with domain.running(booker(domain, Unlucky, "booker")) as books, domain.running(Spec(Teller)) as teller:
        tell(teller, 10)
        until(lambda: len(node(books).booked()) == 10)
        until(lambda: "durable_waits" in books.hosts[0].findings)
        until(lambda: "durable_waits" not in books.hosts[0].findings)
        assert node(books).booked() == list(range(1, 11))


def test_what_fails_in_a_log_that_was_put_back_is_not_taken_for_what_had_its_number_before(domain: Domain) -> None:
    class Later(Teller):
        def on_configure(self) -> None:
            super().on_configure()
            self.number = 100

    with domain.running(Spec(Teller)) as teller:
        tell(teller, 3)
        backup = shutil.copytree(log_folder(domain), domain.root / "backup")
        with domain.running(booker(domain)) as books:
            tell(teller, 20)
            until(lambda: len(node(books).booked()) == 23)
    shutil.rmtree(log_folder(domain))
    shutil.move(backup, log_folder(domain))
    with domain.running(booker(domain)) as books, domain.running(Spec(Later, "teller")) as teller:
        until(lambda: node(books).told(LogLost))
        first = teller.hosts[0].outlets[TOPIC].seq + 1
        node(books).fails.add(101)
        tell(teller, 4)
        until(lambda: "durable_waits" in books.hosts[0].findings)
        assert first <= 23
        node(books).fails.clear()
        until(lambda: len(node(books).booked()) == 27)
        assert node(books).booked()[-4:] == [101, 102, 103, 104]


def test_a_node_that_does_not_say_numbers_waits_and_goes_on_when_it_does(domain: Domain) -> None:
    class Vague(Booker):
        known: int | None = None

        def stands(self, publisher: str, topic: str) -> Mapping[int, int]:
            return dict.fromkeys(self.logs, self.known)  # type: ignore[return-value] # what an outer join gives

        logs: tuple[int, ...] = ()

    with domain.running(Spec(Teller)) as teller:
        tell(teller, 3)
        Vague.logs = (teller.hosts[0].outlets[TOPIC].log.log_id,)  # type: ignore[union-attr] # it is DURABLE
        with domain.running(booker(domain, Vague, "booker")) as books:
            until(lambda: "cursor_unknown" in books.hosts[0].findings)
            Vague.known = 1
            until(lambda: node(books).booked() == [2, 3])


def test_a_transaction_that_fails_leaves_effect_and_cursor(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 10)
        with domain.running(booker(domain)) as books:
            until(lambda: len(node(books).booked()) == 10)
            node(books).fails.add(13)
            tell(teller, 10)
            until(lambda: "durable_waits" in books.hosts[0].findings)
            assert node(books).booked() == list(range(1, 13))
        with domain.running(booker(domain)) as books:
            until(lambda: len(node(books).booked()) == 20)
            assert node(books).booked() == list(range(1, 21))


def test_nothing_is_heard_before_the_database_has_said_where_it_was_left(domain: Domain) -> None:
    class Away(Booker):
        there = threading.Event()

        def stands(self, publisher: str, topic: str) -> Mapping[int, int]:
            if not self.there.is_set():
                raise ConnectionError("the database is not there yet")
            return super().stands(publisher, topic)

    with domain.running(Spec(Teller)) as teller:
        tell(teller, 10)
        with domain.running(booker(domain, Away, "booker")) as books:
            until(lambda: "cursor_unknown" in books.hosts[0].findings)
            tell(teller, 10)
            assert "count/events of teller waits: where it was left is not known: ConnectionError" in (
                books.hosts[0].findings["cursor_unknown"].text
            )
            assert node(books).booked() == []
            Away.there.set()
            until(lambda: len(node(books).booked()) == 20)
            assert node(books).booked() == list(range(1, 21))
            assert "cursor_unknown" not in books.hosts[0].findings


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_cursor_that_cannot_be_written_is_told_and_stops_nobody(domain: Domain) -> None:
    cursors = domain.root / "state" / domain.name / "cursors"
    cursors.parent.mkdir(parents=True)
    cursors.write_text("no folder")
    with domain.running(Spec(Teller)) as teller, domain.running(Spec(Reader)) as reader:
        tell(teller, 5)
        until(lambda: "cursor_unknown" in reader.hosts[0].findings)
        cursors.unlink()
        cursors.mkdir()
        hears(reader, [1, 2, 3, 4, 5])
        folder = cursor.folder_of(cursors.parent, "reader", TOPIC, "teller")
        until(lambda: list(cursor.known(folder).values()) == [5])


def test_diagnostics_show_logs_and_cursors(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller, domain.running(Spec(Reader)) as reader:
        tell(teller, 50)
        hears(reader, list(range(1, 51)))
        (log,) = teller.logs.status(teller.hosts[0]) if teller.logs else ()
        assert (log.topic, log.first_seq, log.last_seq, log.problem) == (TOPIC, 1, 50, "")
        assert log.size_bytes == sum(s.end for s in listed(log_folder(domain)))
        (there,) = reader.readers.status(reader.hosts[0])
        assert (there.topic, there.publisher, there.log_id) == (TOPIC, "teller", log.log_id)
        until(lambda: reader.readers.status(reader.hosts[0])[0].seq == 50)
        assert reader.readers.status(reader.hosts[0])[0].behind == 0
        node(reader).fails.add(53)
        tell(teller, 10)
        until(lambda: "durable_waits" in reader.hosts[0].findings)
        until(lambda: reader.readers.status(reader.hosts[0])[0].behind == 8)
        assert reader.readers.status(reader.hosts[0])[0].seq == 52


# --- declarations -----------------------------------------------------------------------------------------------------


def test_a_cursor_belongs_to_a_durable_topic_and_a_method() -> None:
    with pytest.raises(DeclarationError, match="talk/said is not DURABLE and has no log to keep a cursor in"):
        subscription(SAID, cursor="stands")(lambda node, word: None)
    with pytest.raises(DeclarationError, match="not DURABLE"):
        subscription(SAID, start="now")(lambda node, word: None)
    with pytest.raises(DeclarationError, match="subscription\\(cursor='nowhere'\\) names no method"):

        class Lost_(Reader):
            @subscription(EVENTS, namespace="vmc9", cursor="nowhere")
            def on_other(self, event: Event) -> None: ...

    with pytest.raises(DeclarationError, match="on_event and on_again would share one cursor in 'count/events'"):

        class Twice(Reader):
            @subscription(EVENTS, namespace="*")
            def on_again(self, event: Event) -> None: ...
