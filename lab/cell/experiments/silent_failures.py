"""Silent failures: what goes wrong in a worker without a message."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Iterator, Sequence

from lab.cell.claims.claim import CONFIRMED, Claim, Experiment, always, docs, holds, seen
from lab.cell.claims.recorder import Recorder
from lab.cell.claims.wording import shortened
from lab.cell.measuring.programs import PATIENCE_SECONDS, program, wait_until

#: The shortest wait, in seconds, before an event counts as never happening.
NEVER_SECONDS = 0.25

#: More than a pipe holds (64 KiB, man 7 pipe), so that its writer waits for a reader.
LARGE = b"x" * 2**20

TRIES = 2

#: Queues break in the same way under every start method. Fork is the quickest.
_context = multiprocessing.get_context("fork")

#: The task is a built-in, so that workers of every start method can import it.
NOBODY_ASKS_A_POOL = """
    import multiprocessing
    if __name__ == "__main__":
        pool = multiprocessing.Pool(1)
        pool.apply_async(int, ("no number",))
        pool.close()
        pool.join()
"""

NOBODY_ASKS_A_FUTURE = """
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor() as executor:
        executor.submit(int, "no number")
"""

A_THREAD_RAISES = """
    import threading
    thread = threading.Thread(target=int, args=("no number",))
    thread.start()
    thread.join()
    print("went on")
"""


def put_large(queue: Any) -> None:
    queue.put(LARGE)


def put_small(queue: Any) -> None:
    queue.put(b"small")


def get_message(queue: Any) -> None:
    queue.get()


def run(recorder: Recorder) -> None:
    observe_tasks_that_raise(recorder)
    observe_thread_that_raises(recorder)
    observe_worker_that_dies(recorder)
    patience = patience_seconds()
    with early_join(recorder, patience):  # which waits meanwhile
        observe_termination_while_putting(recorder, patience)


def observe_tasks_that_raise(recorder: Recorder) -> None:
    for name, source in (("pool", NOBODY_ASKS_A_POOL), ("executor", NOBODY_ASKS_A_FUTURE)):
        end = program(source)
        recorder.observe("unasked, " + name, None if end.status is None else end == (0, "", ""))
        recorder.tell("%s: a task raised, nobody asked: status %s, %r" % (name, end.status, end.err[-40:]))


def observe_thread_that_raises(recorder: Recorder) -> None:
    end = program(A_THREAD_RAISES)
    has_printed = "ValueError" in end.err
    recorder.observe("thread only printed", end.status == 0 and end.out == "went on\n" and has_printed)
    recorder.tell("a thread raised: printed %s; join() returned, status %s" % (has_printed, end.status))


def observe_worker_that_dies(recorder: Recorder) -> None:
    """Let a worker die in a Pool, which reports nothing, and in a ProcessPoolExecutor, which raises."""
    with multiprocessing.Pool(1) as pool:
        result = pool.apply_async(os._exit, (1,))
        # The only worker took the first task first, so this answer comes from its successor.
        pool.apply_async(int, ("1",)).get(20)
        time.sleep(NEVER_SECONDS)
        recorder.observe("pool says nothing", not result.ready())
        recorder.tell("a Pool's worker died: its successor answered, its own result never came")
    with ProcessPoolExecutor(1) as executor:
        has_raised = False
        future: Any = executor.submit(os._exit, 1)
        try:
            future.result(20)
        except BrokenProcessPool as error:
            has_raised = True
            recorder.tell(
                "a ProcessPoolExecutor's worker died: %s: %s" % (type(error).__name__, shortened(str(error), 60))
            )
    recorder.observe("executor tells", has_raised)


@contextlib.contextmanager
def early_join(recorder: Recorder, patience: float) -> Iterator[None]:
    """A writer that puts a large message, which nobody gets in this context. Joining it takes for ever until then."""
    queue: Any = _context.Queue()
    writer = _context.Process(target=put_large, args=(queue,))
    writer.start()
    wait_until(lambda: not queue.empty())  # from now on the writer waits for a reader of the rest
    until = time.monotonic() + patience
    yield
    writer.join(max(0, until - time.monotonic()))
    stuck = writer.is_alive()
    message = queue.get(timeout=20)
    writer.join(20)
    recorder.observe("stuck until drained", stuck and message == LARGE and writer.exitcode == 0)
    recorder.tell("join() before get(): %s; after get() the writer ended" % ("stuck" if stuck else "returned"))


def observe_termination_while_putting(recorder: Recorder, patience: float) -> None:
    """Terminate a writer in the middle of a message, then start another writer and a reader on the same queue.

    There are several such queues, whose writers and readers are waited for together.
    """
    queues: list[Any] = [_context.Queue() for _ in range(TRIES)]
    begun = [has_begun_to_put(queue) for queue in queues]
    stuck = stuck_after(patience, [(target, queue) for queue in queues for target in (put_small, get_message)])
    for has_begun, writer_stuck, reader_stuck in zip(begun, stuck[::2], stuck[1::2]):
        recorder.observe("queue broken", (writer_stuck or reader_stuck) if has_begun else None)
        recorder.tell(
            "terminate() during put(): the next writer %s, the reader %s"
            % tuple("waits for ever" if stuck else "ended" for stuck in (writer_stuck, reader_stuck))
        )


def has_begun_to_put(queue: Any) -> bool:
    """Terminate a writer in the middle of a message. Returns whether it had begun."""
    victim = _context.Process(target=put_large, args=(queue,))
    victim.start()
    # The pipe now holds the length of the message, but has no room for the whole message.
    has_begun = wait_until(lambda: not queue.empty())
    victim.terminate()
    victim.join()
    return has_begun


def patience_seconds() -> float:
    """The wait, in seconds, after which processes count as never ending.

    It is a multiple of the time that as many processes take on queues that work.
    """
    start = time.monotonic()
    queues = [_context.Queue() for _ in range(TRIES)]
    if any(stuck_after(PATIENCE_SECONDS, [(target, queue) for queue in queues for target in (put_small, get_message)])):
        raise RuntimeError("a process that only puts or gets something small did not end")
    return NEVER_SECONDS + 4 * (time.monotonic() - start)


def stuck_after(seconds: float, tasks: Sequence[tuple[Callable[[Any], None], Any]]) -> list[bool]:
    """Start a process for each task, which is a target and its queue. Returns which processes still live after so many
    seconds, and kills them."""
    processes = [_context.Process(target=target, args=(queue,)) for target, queue in tasks]
    for process in processes:
        process.start()
    until = time.monotonic() + seconds
    for process in processes:
        process.join(max(0, until - time.monotonic()))
    stuck = [process.is_alive() for process in processes]
    for process in processes:
        process.kill()
        process.join()
    return stuck


EXPERIMENT = Experiment(
    name="silent-failures",
    summary="Silent failures: lost exceptions, dead workers, joins that wait for ever, a broken queue",
    method="In small programs a task raises and nobody asks for its result. A worker ends in the middle of its task,"
    " in a Pool and in a ProcessPoolExecutor. A writer is joined before its queue is drained. Another writer is"
    " terminated while it puts 1 MiB. An event counts as never happening after several times as long as it takes when"
    " nothing is wrong.",
    watch="Look for any sign of a failure. Where nobody asks for a result, not even the exit status shows one. A"
    " ProcessPoolExecutor reports a dead worker, but a Pool does not. After terminate() a queue no longer works.",
    run=run,
    typical_seconds=2.5,
    extra=True,
    claims=(
        Claim(
            "silent-failures.pool-exception-lost",
            "a pool task's exception that nobody asks for leaves no trace, not even in the exit status",
            holds("unasked, pool", "status 0, and nothing was printed", "it was printed, or the status told"),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#module-multiprocessing.pool")),
        ),
        Claim(
            "silent-failures.future-exception-lost",
            "nor does that of a future",
            holds(
                "unasked, executor", "status 0, and nothing was printed", "something was printed, or the status told"
            ),
            always(CONFIRMED),
            source=seen(docs("library/concurrent.futures.html#future-objects")),
        ),
        Claim(
            "silent-failures.thread-only-prints",
            "a thread's exception is only printed: join() and the exit status know nothing of it",
            holds(
                "thread only printed",
                "printed by threading.excepthook; join() returned, and the status was 0",
                "it reached join() or the exit status, or was not printed",
            ),
            always(CONFIRMED),
            source=seen(docs("library/threading.html#threading.excepthook")),
        ),
        Claim(
            "silent-failures.pool-worker-lost",
            "when a Pool's worker dies the result of its task never comes",
            holds("pool says nothing", "its successor answered the next task, this one never", "an answer came"),
            always(CONFIRMED),
            source=seen(),
        ),
        Claim(
            "silent-failures.executor-tells",
            "a ProcessPoolExecutor raises when a worker dies",
            holds("executor tells", "BrokenProcessPool", "no exception came"),
            always(CONFIRMED),
            source=seen(docs("library/concurrent.futures.html")),
        ),
        # Documented: "Programming guidelines, Joining processes that use queues", library/multiprocessing.
        Claim(
            "silent-failures.join-before-drain",
            "a process that has put something large cannot be joined before it is got",
            holds("stuck until drained", "join() waited until the queue was drained", "join() returned before"),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#programming-guidelines")),
        ),
        # Documented: the warning at Process.terminate(), library/multiprocessing.
        Claim(
            "silent-failures.terminate-breaks-queue",
            "terminate() during put() breaks the queue for everybody else",
            holds(
                "queue broken",
                "the next writer or reader waited for ever",
                "writer and reader went on as if nothing had happened",
            ),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#multiprocessing.Process.terminate")),
        ),
    ),
)
