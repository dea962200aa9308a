"""Published predictions beside what came true: the table of outcomes, which outcome is whose, and
what the pairs say of a model.
"""
