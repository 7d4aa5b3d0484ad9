"""Starts one run exactly once, recognises it, judges it, and waits for many of them. No Airflow import.

``verdict``  what states and log rows mean: pure functions that every caller uses
``state``    what a task instance remembers across tries
``start``    the protocol that starts one run exactly once
``stop``     ends a run that is ours
``waits``    the kinds of wait, and the synchronous wait
``poller``   one poller for all waits of an event loop
``events``   which ended runs an event trigger has still to report
``report``   formats runs for people and XCom
"""
