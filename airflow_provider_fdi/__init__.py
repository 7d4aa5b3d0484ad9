"""Apache Airflow provider for FDI, the data-integration part of Huawei Cloud ROMA Connect."""

__version__ = "1.0.0"
