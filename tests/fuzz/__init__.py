"""Bytes that nobody would send in good faith, for every part that reads what a peer wrote.

The targets are in ``targets.py``. The suite replays the corpus and lets Hypothesis look around;
``python -m tests.fuzz TARGET`` lets atheris search with coverage for as long as it is told to.
"""
