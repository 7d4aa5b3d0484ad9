"""Starting and stopping any number of tasks, in requests of at most ten, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from airflow_provider_fdi.client.errors import FdiError, FdiResponseError
from airflow_provider_fdi.client.models import BatchItem, BatchResult
from airflow_provider_fdi.constants import MAX_BATCH

__all__ = ["operate_all"]

Send = Callable[[list[str]], BatchResult]
"""One request for at most ten tasks."""


def operate_all(send: Send, task_ids: list[str], max_parallel_requests: int) -> BatchResult:
    """The result for every task once, in the order given.

    :raises FdiError: a request failed; its ``partial`` is what is known to be done.
    """
    chunks = [task_ids[i : i + MAX_BATCH] for i in range(0, len(task_ids), MAX_BATCH)]
    if max_parallel_requests == 1 or len(chunks) == 1:
        return _one_by_one(send, chunks, task_ids)
    failed = False

    def work(chunk: list[str]) -> BatchResult:
        nonlocal failed
        if failed:  # whatever stopped one will stop the rest
            return BatchResult()
        try:
            return _in_pieces(send, chunk)
        except BaseException:
            failed = True
            raise

    futures: list[Future[BatchResult]] = []
    pool = ThreadPoolExecutor(min(max_parallel_requests, len(chunks)), thread_name_prefix="fdi-batch")
    try:
        futures = [pool.submit(work, chunk) for chunk in chunks]
        for future in futures:
            future.exception()  # waits
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    errors = [e for f in futures if (e := f.exception()) is not None]
    done = [f.result() for f in futures if f.exception() is None]
    if errors:
        if isinstance(errors[0], FdiError):
            raise _with_partial(errors[0], [*done, *_partials(errors)], task_ids)
        raise errors[0]
    return _merged(done, task_ids)


def _in_pieces(send: Send, task_ids: list[str]) -> BatchResult:
    """One request; if the service refuses it as a whole, one for each task."""
    try:
        return send(task_ids)
    except FdiResponseError as refusal:
        if not _is_refusal_of_tasks(refusal):
            raise
        if len(task_ids) == 1:
            item = BatchItem(task_ids[0], None, refusal.error_code, refusal.error_msg)
            return BatchResult(failed=(item,))
    return _one_by_one(send, [[task_id] for task_id in task_ids], task_ids)


def _one_by_one(send: Send, chunks: list[list[str]], order: list[str]) -> BatchResult:
    done: list[BatchResult] = []
    for chunk in chunks:
        try:
            done.append(_in_pieces(send, chunk))
        except FdiError as error:  # noqa: PERF203 - each is a request
            raise _with_partial(error, [*done, *_partials([error])], order) from None
    return _merged(done, order)


def _partials(errors: Iterable[BaseException]) -> list[BatchResult]:
    found = [e.partial for e in errors if isinstance(e, FdiError)]
    return [partial for partial in found if isinstance(partial, BatchResult)]


def _with_partial(error: FdiError, known: Iterable[BatchResult], order: list[str]) -> FdiError:
    return error.replace(partial=_merged(known, order))


def _is_refusal_of_tasks(error: FdiResponseError) -> bool:
    """Whether the service refused tasks of a batch, not the caller or the instance."""
    return error.status in (400, 404) and error.error_code.startswith("FDI.")


def _merged(results: Iterable[BatchResult], order: list[str]) -> BatchResult:
    place = {task_id: i for i, task_id in enumerate(order)}
    good = {item.task_id: item for result in results for item in result.succeeded}
    bad = {item.task_id: item for result in results for item in result.failed}

    def sorted_items(items: Mapping[str, BatchItem]) -> tuple[BatchItem, ...]:
        return tuple(sorted(items.values(), key=lambda item: place.get(item.task_id, len(place))))

    return BatchResult(sorted_items(good), sorted_items(bad))
