"""Being here, it makes the helpers beside it importable from the tests in the folders below."""
