"""Durable jobs: a job is a row written in the transaction of the change that needs it."""
