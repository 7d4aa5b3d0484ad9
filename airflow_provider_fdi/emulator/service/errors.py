"""Errors of the service: their codes and words, and the shapes of body in which they are answered.

The words are the vendor's own. An error that the vendor documents without an example has the flat shape.
"""

from __future__ import annotations

from typing import Any, Literal

# HTTP status and words by code.
CATALOGUE: dict[str, tuple[int, str]] = {
    "FDI.3002": (400, "Invalid parameters."),
    "FDI.3016": (400, "Failed to test the connectivity."),
    "FDI.3018": (500, "Failed to start the scheduled task."),
    "FDI.3019": (400, "Failed to stop the real-time task."),
    "FDI.3020": (400, "Failed to stop the scheduled task."),
    "FDI.3021": (400, "One or more tasks do not exist."),
    "FDI.3022": (400, "One or more tasks have empty task IDs."),
    "FDI.3023": (400, "One or more tasks are running."),
    "FDI.3026": (400, "Failed to manually start the task."),
    "FDI.3027": (400, "Failed to manually stop the task."),
    "FDI.3028": (400, "Failed to delete the task."),
    "FDI.3033": (400, "Invalid parameter [%s]."),
    "FDI.3035": (400, "Invalid SQL statement."),
    "FDI.3037": (400, "The parameter in mapping information is invalid or does not match the task."),
    "FDI.3039": (400, "The project ID is empty or does not match the project ID in the URL."),
    "FDI.3081": (404, "The task does not exist."),
    "FDI.3083": (404, "One or more scheduled tasks are not configured with scheduled plans."),
    "FDI.3149": (400, "The task ID is empty."),
    "FDI.3150": (400, "The task list is empty."),
    "FDI.3180": (404, "This task is not in the project."),
    "FDI.9999": (500, "Network error."),
    "ROMA.00110002": (500, "The instance does not exist. project_id: %s, instance_id: %s"),
    "ROMA.00110006": (404, "The resource does not exist."),
    "APIGW.0101": (404, "The API does not exist or has not been published."),
    "APIGW.0201": (502, "Backend unavailable."),
    "APIGW.0301": (401, "Incorrect IAM authentication information: %s"),
    "APIGW.0302": (403, "The IAM user is not allowed to access the API."),
    "APIGW.0307": (401, "The token must be updated."),
    "APIGW.0308": (
        429,
        "The throttling threshold has been reached: policy user over ratelimit, limit:%s, time:1 second",
    ),
}


class ServiceError(Exception):
    """An answer that is an error: HTTP status, code, message, and the shape of its body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        shape: Literal["flat", "iam"] = "flat",
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.shape = shape
        self.headers = headers or {}
        self.extra = extra or {}

    def body(self, request_id: str, *, nested: bool = False) -> dict[str, Any]:
        """The body of the answer; `nested` puts the flat shape into `reason`."""
        if self.shape == "iam":
            titles = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
            return {
                "error": {
                    "code": self.status,
                    "message": self.message,
                    "title": titles.get(self.status, "Internal Server Error"),
                }
            }
        flat: dict[str, Any] = {"error_code": self.code, "error_msg": self.message, **self.extra}
        if nested:
            return {"code": self.status, "reason": flat}
        if not self.code.startswith("FDI."):
            flat["request_id"] = request_id
        return flat


def service_error(code: str, *args: object, message: str | None = None, **kwargs: Any) -> ServiceError:
    """The error `code` of the catalogue; `message` replaces the catalogue's words."""
    status, words = CATALOGUE[code]
    text = message if message is not None else (words % args if args else words)
    return ServiceError(status, code, text, **kwargs)


def invalid(field: str, reason: str = "") -> ServiceError:
    """400 FDI.3033 naming the parameter that is wrong, and why if that is not plain."""
    text = CATALOGUE["FDI.3033"][1] % field
    return service_error("FDI.3033", message=f"{text} {reason}." if reason else text)


def iam_error(status: int, message: str) -> ServiceError:
    """An error of the IAM endpoints, in their own shape."""
    return ServiceError(status, str(status), message, shape="iam")
