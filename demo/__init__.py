"""Runs a real Airflow, an FDI service and real data on one machine: ``make demo`` and ``make ui``."""
