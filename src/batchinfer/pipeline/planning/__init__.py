"""What runs would do, before they do it: every problem that can be foreseen, seconds and money."""
