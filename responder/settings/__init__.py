"""``responder.yml``, read once into frozen, typed data; what is wrong in it is said with its place and how to mend it.

Light to import: nothing here connects to anything, and no library of an outside system is loaded.
"""

from responder.settings.check import cross_check
from responder.settings.http import BasicAuth, HttpAuth, HttpConfig, OAuth2, TlsConfig
from responder.settings.load import load_settings
from responder.settings.model import (
    Access,
    Cluster,
    Connections,
    DockerConnection,
    HmacSettings,
    HostConnection,
    HttpConnection,
    KubernetesSettings,
    PagerDutyUser,
    Policy,
    PostgresConnection,
    PrometheusSettings,
    RedisConnection,
    RedisSettings,
    Role,
    Settings,
    SeverityRule,
    SlackUser,
    SourceSettings,
    StoreSettings,
    Token,
)
from responder.settings.model_channels import (
    DigestSettings,
    MailSettings,
    Notify,
    PagerDutySettings,
    PageSettings,
    Route,
    SlackSettings,
)
from responder.settings.reader import WrongSettings, read_secret_file, unread_secret

__all__ = [
    "Access",
    "BasicAuth",
    "Cluster",
    "Connections",
    "DigestSettings",
    "DockerConnection",
    "HmacSettings",
    "HostConnection",
    "HttpAuth",
    "HttpConfig",
    "HttpConnection",
    "KubernetesSettings",
    "MailSettings",
    "Notify",
    "OAuth2",
    "PageSettings",
    "PagerDutySettings",
    "PagerDutyUser",
    "Policy",
    "PostgresConnection",
    "PrometheusSettings",
    "RedisConnection",
    "RedisSettings",
    "Role",
    "Route",
    "Settings",
    "SeverityRule",
    "SlackSettings",
    "SlackUser",
    "SourceSettings",
    "StoreSettings",
    "TlsConfig",
    "Token",
    "WrongSettings",
    "cross_check",
    "load_settings",
    "read_secret_file",
    "unread_secret",
]
