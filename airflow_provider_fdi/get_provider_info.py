"""The provider's metadata, which Airflow reads first. Imports only constants from the package."""

from __future__ import annotations

from typing import Any

from airflow_provider_fdi.constants import AUTH_TYPES, CONN_TYPE, CONNECT_TIMEOUT, HOOK_NAME, READ_TIMEOUT

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
"""Regions that are known to offer ROMA Connect; any other needs an explicit host."""


ASSET_URIS = [
    {
        "schemes": ["fdi"],
        "handler": "airflow_provider_fdi.lineage.assets.sanitize_uri",
        "factory": "airflow_provider_fdi.lineage.assets.create_asset",
        "to_openlineage_converter": "airflow_provider_fdi.lineage.assets.convert_asset_to_openlineage",
    }
]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-fdi",
        "name": HOOK_NAME,
        "description": "FDI (data integration of Huawei Cloud ROMA Connect): create, schedule and run tasks.",
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
        "cli": ["airflow_provider_fdi.cli.definition.get_fdi_cli_commands"],
        "asset-uris": ASSET_URIS,
        # The same under the name that Airflow 2 uses.
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
        "port": "Port (the test needs one)",
    },
    "placeholders": {
        "host": "https://roma.cn-north-4.myhuaweicloud.com (empty: set by region)",
        # Airflow 3.3 sends an empty port as text, which its own API refuses.
        "port": "443. Without a port, Airflow's test button says only Bad Request",
    },
}


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


# Texts have no default: the form would store it, and whenever a task reads the connection, Airflow warns of
# texts in extra that are shorter than five letters ("Skipping masking for a secret as it's too short").
CONN_FIELDS: dict[str, Any] = {
    "auth_type": _text(
        "Authentication",
        f"Empty or {AUTH_TYPES[0]}: access key as login, secret key as password. password: IAM user and"
        " password. token: an IAM token as password. sdk: the credential chain of the official SDK.",
        enum=list(AUTH_TYPES),
    ),
    "region": _text(
        "Region", "Sets the standard endpoints; not needed if you enter the endpoints.", examples=REGIONS
    ),
    "project_id": _text("Project ID", "Huawei Cloud project; operators may override it."),
    "instance_id": _text("Instance ID", "ROMA Connect instance; operators may override it."),
    "project_name": _text("Project name", "Instead of the project ID, with authentication 'password'."),
    "domain_name": _text("Account name", "Account (domain) of the IAM user, with authentication 'password'."),
    "iam_endpoint": _text("IAM endpoint", "Empty: set by the region."),
    "security_token": _text(
        "Security token", "For a temporary access key, with authentication 'aksk'.", format="password"
    ),
    "verify": _text("Verify TLS", "Empty or true, false, or the path of a CA bundle."),
    "connect_timeout": {
        "label": "Connect timeout (s)",
        "description": "Seconds to wait for a connection.",
        "schema": {"type": ["number", "null"], "minimum": 0.1, "maximum": 600, "default": CONNECT_TIMEOUT},
    },
    "timeout": {
        "label": "Read timeout (s)",
        "description": "Seconds to wait for a response.",
        "schema": {"type": ["number", "null"], "minimum": 0.1, "maximum": 3600, "default": READ_TIMEOUT},
    },
    "proxies": {
        "label": "Proxies",
        "description": 'For example {"https": "http://proxy:3128"}. Empty: taken from the environment.',
        "schema": {"type": ["object", "null"]},
    },
    "allow_http": {
        "label": "Allow plain HTTP",
        "description": "Plain HTTP to addresses other than loopback. Credentials are sent unencrypted.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
    "console_url": _text(
        "Console address",
        "For links; may contain {region}, {project_id}, {instance_id}, {task_id}, {run_id}. Empty: the"
        " international console.",
    ),
}
