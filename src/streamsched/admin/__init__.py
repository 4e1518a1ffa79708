"""What an administrator checks and repairs: topics, positions, transactions that hang."""
