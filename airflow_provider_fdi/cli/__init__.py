"""The commands ``airflow fdi`` and ``python -m airflow_provider_fdi``."""
