"""The error codes that the service, its gateway and IAM document: whether a retry can help, and what to do.

A code that is not listed here is judged by the kind of its error. In the texts, ``{connection}`` stands for
the connection.
"""

from __future__ import annotations

__all__ = ["CODES", "OVERLAP_CODES", "Code", "advice", "anchor_of", "code_of"]


class Code:
    """What is known of one error code.

    ``retry``: whether the same request can succeed later without anybody changing something; None: the HTTP
    status decides. ``hint``: what to do; empty where the service's own words say it.
    """

    # Not a dataclass: every DAG file would pay for making it.
    __slots__ = ("hint", "retry")

    def __init__(self, retry: bool | None, hint: str = "") -> None:
        self.retry = retry
        self.hint = hint


_AUTHORIZATION = (
    "Or an authorization is missing: users see only what is theirs, and integration applications that are"
    " shared with them."
)
_KEY = "Check the access key and secret key, or the token, of {connection}, and this machine's clock."
_TOKEN = "Check the token or the login of {connection}: it must be for this project and region."
_ENDPOINT = "No such API at this address: check endpoint and region of {connection}."
_PERMISSION = (
    "Ask for permission: an IAM policy with actions roma:tasks:* and, for tasks of others, authorization of"
    " their integration application."
)
_LOGIN = "Check user, password, account (domain_name) and project of {connection}."

OVERLAP_CODES = frozenset({"FDI.3023", "FDI.3026"})
"""What a refused start may say while a run is active."""

CODES: dict[str, Code] = {
    # FDI
    "FDI.3002": Code(None, "Compare the arguments with the API's rules; task_detail is not checked here."),
    "FDI.3016": Code(True, "Check that FDI reaches the data source: address, network, user and password."),
    "FDI.3018": Code(True, "The start may have been carried out: look at the run log before starting again."),
    "FDI.3019": Code(True, "Look at the task in the console; it may be stopped already."),
    "FDI.3020": Code(True, "Look at the task in the console; it may be stopped already."),
    "FDI.3021": Code(False, f"Check the task ids and the instance. {_AUTHORIZATION}"),
    "FDI.3022": Code(False, "Check where the ids come from: one is empty."),
    "FDI.3023": Code(True, "Stop the task, or wait until its run is over, and try again."),
    "FDI.3026": Code(True, "The task may be running already: look at its run log."),
    "FDI.3027": Code(True, "Nothing may be running: look at the run log."),
    "FDI.3028": Code(True, "Stop the task before deleting it."),
    "FDI.3033": Code(False, "Correct the parameter that the service names."),
    "FDI.3035": Code(False, "Correct the SQL in task_detail."),
    "FDI.3037": Code(False, "Compare the mappings with the tables of the source and the target."),
    "FDI.3039": Code(
        False, "Check project_id of {connection}: it must be that of the credentials and of the region."
    ),
    "FDI.3043": Code(False, "The data source's address must be in a network that the instance reaches."),
    "FDI.3048": Code(False, "Correct the parameter that the service names."),
    "FDI.3081": Code(
        False, f"Check the task id (it is not the name), project and instance. {_AUTHORIZATION}"
    ),
    "FDI.3083": Code(False, "Create a schedule for the scheduled task before starting it."),
    "FDI.3101": Code(False, f"Check the id of the data source and the instance. {_AUTHORIZATION}"),
    "FDI.3149": Code(False, "Check where the task id comes from: it is empty."),
    "FDI.3150": Code(False, "Check where the task ids come from: there are none."),
    "FDI.3180": Code(False, f"Check the task id and project_id. {_AUTHORIZATION}"),
    "FDI.9999": Code(None, "A fault of the service; its support needs the request id."),
    # ROMA Connect, and the framework that the service is built on
    "ROMA.00110002": Code(False, "Check instance_id, project_id and the region of {connection}."),
    "ROMA.00110006": Code(False, f"Check ids, project and instance of {{connection}}. {_AUTHORIZATION}"),
    "SCB.00000000": Code(False, "Compare the arguments with the API's rules."),
    # The gateway
    "APIGW.0101": Code(False, _ENDPOINT),
    "APIGW.0106": Code(None),
    "APIGW.0201": Code(None),
    "APIGW.0301": Code(False, _KEY),
    "APIGW.0302": Code(False, _PERMISSION),
    "APIGW.0305": Code(False, _KEY),
    "APIGW.0306": Code(False, _PERMISSION),
    "APIGW.0307": Code(False, _TOKEN),
    "APIGW.0308": Code(True, "Send fewer requests: fewer tasks at once, a longer poll_interval."),
    "APIGW.0310": Code(False, "Check the project of {connection}: it may be frozen, or of another region."),
    "APIGW.0601": Code(True, "A fault of the gateway; the service's support needs the request id."),
    "APIGW.0602": Code(False),
    "APIGW.0613": Code(True, "IAM is not available at present; try again later."),
    "APIGW.0802": Code(False, "This user may not use the region of {connection}."),
    "APIGW.1002": Code(False, _TOKEN),
    "APIGW.1005": Code(False, _PERMISSION),
    # IAM
    "IAM.0002": Code(False, _LOGIN),
    "IAM.0007": Code(False, _LOGIN),
    "IAM.0009": Code(False, _TOKEN),
    "IAM.0011": Code(False, _LOGIN),
    "IAM.0072": Code(False, _LOGIN),
    "IAM.0073": Code(False, _LOGIN),
    "IAM.1100": Code(False, _LOGIN),
}


def _documented(error_code: str) -> str:
    """The code as the documentation writes it: the gateway has two prefixes for the same numbers."""
    return "APIGW." + error_code[5:] if error_code.startswith("APIG.") else error_code


def code_of(error_code: str) -> Code | None:
    """What is known of a code; None: nothing."""
    return CODES.get(_documented(error_code))


def advice(error_code: str) -> str:
    """What to do about an error of this code; empty where nothing is known that its words do not say."""
    known = code_of(error_code)
    return known.hint if known else ""


def anchor_of(error_code: str) -> str:
    """The code's place on the troubleshooting page; empty if it has none."""
    code = _documented(error_code)
    return code if code in CODES else ""
