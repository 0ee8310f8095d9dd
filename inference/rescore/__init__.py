"""Screening whole archives again: sources, workers, the run into the ledger, and what changed between two models."""
