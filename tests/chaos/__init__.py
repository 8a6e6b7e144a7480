"""The chaos bench: what is promised not to be lost, in real processes, on a network that breaks.

``python -m tests.chaos CASE`` runs one case in its full size; ``test_cuts.py`` a small one.
"""
