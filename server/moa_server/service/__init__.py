"""The wire: handlers, translation, status, interceptors, health. The only room with protobuf and gRPC."""
