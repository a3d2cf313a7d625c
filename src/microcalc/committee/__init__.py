"""The committee of experts: its answers, its files, and its export."""
