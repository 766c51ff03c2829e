"""Mixture of Agents as a gRPC microservice."""
