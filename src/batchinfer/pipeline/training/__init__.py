"""From the landed table to a bundle: passes that fit the transforms, the rows learned from,
validation.
"""
