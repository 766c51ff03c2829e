"""The messages and stubs of moa.v1, generated from the protos."""
