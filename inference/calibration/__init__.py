"""Fitting leadline to a scanner: wedges in, a profile out that `leadline screen` takes."""
