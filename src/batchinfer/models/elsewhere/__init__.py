"""Models trained elsewhere: what each is fed, what it gives, and whether it says here what it says
at home.

Owns the road from an opened artefact to a handler, and the holding of the two against each other.
Knows neither the registry nor how a format is read.
"""
