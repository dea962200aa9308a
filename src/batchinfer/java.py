"""Placeholder until the check lands."""
def check_java() -> None:
    return None
