"""Values that several parts of the emulator share."""

from __future__ import annotations

# What a server without a configuration accepts.
PROJECT_ID = "0123456789abcdef0123456789abcdef"
PROJECT_NAME = "cn-north-4"
INSTANCE_ID = "fae7ff6c-8e07-4cf8-9e67-589cab2f017c"
TOKEN = "emulator-token"
USER_NAME = "fdi-user"
PASSWORD = "fdi-password"
DOMAIN_NAME = "fdi-domain"
ACCESS_KEY = "AKEMULATOR0000000001"
SECRET_KEY = "SKemulator0000000000000000000000000000001"
APP_ID = "d5afd9af-a8fe-47f6-a98c-edbcba11a0da"

TERMINAL = frozenset({"SUCCESS", "CANCELLED", "ERROR"})

# Where in its pipeline a run is, and how it is doing there.
ADAPTER, READER, WRITER = "ADAPTER", "READER", "WRITER"
NORMAL, NODE_END, TASK_END = "NORMAL", "NODE_END", "TASK_END"
RUNTIME_CANCEL, RUNTIME_ERR = "RUNTIME_CANCEL", "RUNTIME_ERR"

SUCCESS_REMARKS = "Task execute success"
STEP_WORDS = {
    16: "The task is forcibly cancelled.",
    99: "The task starts.",
    100: "The reader starts.",
    101: "The reader ends.",
    102: "Data is being read.",
    103: "An exception occurred at the source.",
    104: "Data reading is finished.",
    105: "The number of read rows is 0.",
    106: "The reader is forcibly cancelled.",
    500: "The writer starts.",
    501: "The writer ends.",
    502: "Data is being written.",
    503: "An exception occurred at the destination.",
    504: "Data writing is finished.",
    505: "The writer is forcibly cancelled.",
    900: "The scheduling request is received.",
    901: "The execution is finished.",
    906: "The read task is queued for platform resources.",
    907: "The read task is rejected because the previous scheduling is not finished.",
    909: "The write task is rejected because the previous scheduling is not finished.",
    911: "The read task failed to start.",
    912: "The write task failed to start.",
    913: "The scheduling request failed.",
    914: "The task is rejected because the previous scheduling is not finished.",
    915: "The task is not running normally.",
}
