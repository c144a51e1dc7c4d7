"""Thin adapters: each turns one kind of subject into what the engine checks."""
