"""What Airflow reads first about this provider. Imports nothing else of it."""

from __future__ import annotations

from typing import Any

CONN_TYPE = "fdi"
HOOK_NAME = "Huawei Cloud FDI"
AUTH_TYPES = ("aksk", "password", "token", "sdk")
CONNECT_TIMEOUT = 10
TIMEOUT = 60
"""Seconds."""
CONSOLE_URL = "https://console-intl.huaweicloud.com/roma"

REGIONS = [
    "cn-north-1",
    "cn-north-4",
    "cn-east-2",
    "cn-east-3",
    "cn-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ae-ad-1",
    "ru-northwest-2",
]
"""Regions that are known to offer ROMA Connect; others go by an explicit host."""


ASSET_URIS = [
    {
        "schemes": ["fdi"],
        "handler": "airflow_provider_fdi.assets.sanitize_uri",
        "factory": "airflow_provider_fdi.assets.create_asset",
        "to_openlineage_converter": "airflow_provider_fdi.assets.convert_asset_to_openlineage",
    }
]


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, by Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-fdi",
        "name": HOOK_NAME,
        "description": "FDI, the data integration of Huawei Cloud ROMA Connect: create, schedule, run, wait.",
        "integrations": [
            {
                "integration-name": HOOK_NAME,
                "external-doc-url": "https://support.huaweicloud.com/intl/en-us/api-roma/TaskManagement.html",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": HOOK_NAME,
                "python-modules": ["airflow_provider_fdi.operators.fdi"],
            }
        ],
        "sensors": [{"integration-name": HOOK_NAME, "python-modules": ["airflow_provider_fdi.sensors.fdi"]}],
        "hooks": [{"integration-name": HOOK_NAME, "python-modules": ["airflow_provider_fdi.hooks.fdi"]}],
        "triggers": [
            {"integration-name": HOOK_NAME, "python-modules": ["airflow_provider_fdi.triggers.fdi"]}
        ],
        "asset-uris": ASSET_URIS,
        # The same for Airflow 2.
        "dataset-uris": ASSET_URIS,
        "extra-links": ["airflow_provider_fdi.links.FdiTaskLink", "airflow_provider_fdi.links.FdiRunLink"],
        "connection-types": [
            {
                "connection-type": CONN_TYPE,
                "hook-class-name": "airflow_provider_fdi.hooks.fdi.FdiHook",
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONN_FIELDS,
            }
        ],
    }


UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema"],
    "relabeling": {
        "host": "Endpoint",
        "login": "Access key (AK) or IAM user",
        "password": "SK, password or token",
    },
    "placeholders": {"host": "https://roma.cn-north-4.myhuaweicloud.com (empty: by region)"},
}


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


CONN_FIELDS: dict[str, Any] = {
    "auth_type": _text(
        "Authentication",
        "aksk: access key in login, secret key in password. password: IAM user and password. token: an IAM"
        " token in password. sdk: the credential chain of the official SDK.",
        enum=list(AUTH_TYPES),
        default=AUTH_TYPES[0],
    ),
    "region": _text(
        "Region", "Gives the standard endpoints; not needed where they are set.", examples=REGIONS
    ),
    "project_id": _text("Project ID", "Project of Huawei Cloud; operators may override it."),
    "instance_id": _text("Instance ID", "Instance of ROMA Connect; operators may override it."),
    "project_name": _text("Project name", "Instead of the project ID, with authentication 'password'."),
    "domain_name": _text("Account name", "Account (domain) of the IAM user, with authentication 'password'."),
    "iam_endpoint": _text("IAM endpoint", "Empty: by region."),
    "security_token": _text(
        "Security token", "Of a temporary access key, with authentication 'aksk'.", format="password"
    ),
    "verify": _text("Verify TLS", "true, false, or the path of a CA bundle.", default="true"),
    "connect_timeout": {
        "label": "Connect timeout (s)",
        "description": "Seconds to make a connection.",
        "schema": {"type": ["number", "null"], "minimum": 0.1, "maximum": 600, "default": CONNECT_TIMEOUT},
    },
    "timeout": {
        "label": "Read timeout (s)",
        "description": "Seconds to wait for an answer.",
        "schema": {"type": ["number", "null"], "minimum": 0.1, "maximum": 3600, "default": TIMEOUT},
    },
    "proxies": {
        "label": "Proxies",
        "description": 'Like {"https": "http://proxy:3128"}; empty: those of the environment.',
        "schema": {"type": ["object", "null"]},
    },
    "allow_http": {
        "label": "Allow plain HTTP",
        "description": "Plain HTTP to other than loopback addresses. Credentials travel in the clear.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
    "console_url": _text(
        "Console address",
        "For links; may hold {region}, {project_id}, {instance_id}, {task_id}, {run_id}. Empty: the"
        " international console.",
    ),
}
