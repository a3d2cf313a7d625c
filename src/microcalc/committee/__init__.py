"""The committee of experts, and all that it needs to answer."""
