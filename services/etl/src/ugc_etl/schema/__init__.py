"""The platform's tables and views in ClickHouse, and how they come to be."""

from ugc_etl.schema.columns import PIPELINE_COLUMNS, raw_columns
from ugc_etl.schema.deployment import Deployment
from ugc_etl.schema.migration import (
    SchemaError,
    Step,
    current_version,
    migrate,
    required_version,
)
from ugc_etl.schema.port import SchemaClient, ServerRefused

__all__ = [
    "PIPELINE_COLUMNS",
    "Deployment",
    "SchemaClient",
    "SchemaError",
    "ServerRefused",
    "Step",
    "current_version",
    "migrate",
    "raw_columns",
    "required_version",
]
