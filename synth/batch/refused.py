"""Why a request is not answered: an error as OpenAI's API returns it.

A request's own fault has the status 400 (404 for an unknown model) and an error object. What is no fault of the request
has no response, as in OpenAI's error files.
"""

from typing import Any

# Reasons by which requests are rejected for their own content, with their HTTP status.
STATUS = {
    "invalid_json_line": 400,
    "missing_required_parameter": 400,
    "duplicate_custom_id": 400,
    "invalid_method": 400,
    "invalid_url": 400,
    "model_not_found": 404,
    "invalid_type": 400,
    "invalid_value": 400,
    "unknown_parameter": 400,
    "unsupported_parameter": 400,
    "unsupported_content": 400,
    "invalid_request": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
}


class Refused(ValueError):
    """A request that can't be answered. `code` is a key of STATUS, `param` the key of the request that is wrong."""

    def __init__(self, code: str, message: str, param: str | None = None):
        super().__init__(message)
        self.code, self.param = code, param

    @property
    def error(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return error_of(self.code, str(self), self.param)


def error_of(code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    kind = "invalid_request_error" if code in STATUS else "server_error"
    return {"message": message, "type": kind, "param": param, "code": code}
