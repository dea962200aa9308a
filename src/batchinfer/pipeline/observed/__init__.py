"""What runs tell collectors of themselves: a pipeline's context and reports as the values that
`observability` sends.
"""
