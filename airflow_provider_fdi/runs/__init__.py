"""Starting one run exactly once, recognising it, judging it, and watching many. No Airflow import.

``verdict``  what states and log rows mean: pure functions, shared by every caller
``record``   what is remembered of one run between processes
``start``    the protocol that starts one run exactly once
``stop``     ending a run that is ours, and only such a run
``wait``     what can be waited for, and the synchronous wait
``poller``   one poller for all waits of an event loop
``clock``    how long a process was away
``report``   runs in words: the summary for XCom, the text of a failure
"""
