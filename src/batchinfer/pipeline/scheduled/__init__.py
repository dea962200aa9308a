"""What schedulers and monitors ask of tables: what a night owes and waits for, what is late."""
